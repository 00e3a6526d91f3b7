/* naming.h: where a PNG goes and what it is called.
 *
 *   extracted-images/<SHA-224 of PatientID>[/<of StudyInstanceUID>[/<of
 * SeriesInstanceUID>]]/<name>[-0001].png
 *
 * name: SHA-224 of the path relative to DICOMHome; under compatibility, of the file's own name without its
 * last four characters. An absent study or series UID counts as the text ALL-STUDIES or ALL-SERIES, an absent
 * PatientID as ALL-PATIENTS. Nothing of a DICOM value reaches a path but as a digest. */
#ifndef NIFFLER_WORKER_NAMING_H
#define NIFFLER_WORKER_NAMING_H

#include "common/buffer.h"
#include "common/options.h"
#include "common/outputs.h"
#include "worker/metadata.h"

/* What makes names: a digest, and the folders of the last name, since the files of a series come one after
 * another and each name is four digests. One for each thread. */
struct naming;
struct naming *naming_new(void);
void naming_free(struct naming *naming); /* accepts NULL */

/* Append the PNG's path below OutputDirectory.
 *   path         of the DICOM file, relative to DICOMHome (bytes)
 *   frame        from 1; 0 for the only frame of a file: no suffix
 * Under compatibility two files may have the same name by Niffler's rule, and no worker knows of all of them:
 * there the name ends in "~" and the first 8 hexadecimal digits of the path's SHA-224, which the aggregator
 * takes off when the job is complete (store_settle_names()). */
void naming_png_path(struct naming *naming, struct buffer *out, const char *path,
                     const struct metadata_identity *identity, const struct options *options, uint32_t frame);

/* Append the path, below OutputDirectory, of the copy of a file that failed:
 *   failed-dicom/<category>/<file name without .dcm>-<first 8 hexadecimal digits of the path's SHA-224>.dcm
 */
void naming_failed_path(struct naming *naming, struct buffer *out, const char *path, enum category category);

#endif
