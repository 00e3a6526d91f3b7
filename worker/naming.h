/* naming.h: where a PNG goes and what it is called.
 *
 *   extracted-images/<SHA-224 of PatientID>[/<of StudyInstanceUID>[/<of SeriesInstanceUID>]]/<name>[-0001].png
 *
 * name: SHA-224 of the path relative to DICOMHome; under compatibility, of the file's own name without its last four
 * characters. An absent study or series UID counts as the text ALL-STUDIES or ALL-SERIES, an absent PatientID as
 * ALL-PATIENTS. Nothing of a DICOM value reaches a path but as a digest. */
#ifndef NIFFLER_WORKER_NAMING_H
#define NIFFLER_WORKER_NAMING_H

#include "common/buffer.h"
#include "common/options.h"
#include "worker/metadata.h"

#define NAMING_IMAGES_FOLDER "extracted-images"

/* Append the PNG's path below OutputDirectory.
 *   path         of the DICOM file, relative to DICOMHome (bytes)
 *   frame        from 1; 0 for the only frame of a file: no suffix
 *   suffix       0; n > 0 appends "_n" to the name: the n-th collision under compatibility */
void naming_png_path(struct buffer *out, const char *path, const struct metadata_identity *identity,
                     const struct options *options, uint32_t frame, uint32_t suffix);

#endif
