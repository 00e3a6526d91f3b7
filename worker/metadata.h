/* metadata.h: typed elements to named, flattened columns.
 *
 * The only way from a data set to a table: nothing downstream sees an element that did not pass here (a
 * privacy mode will stand at the entry of metadata_flatten()). Names and forms are Niffler's (design: one row
 * a file):
 *
 *   PatientID                  a public attribute: its keyword in PS3.6
 *   0_Seq_Keyword              in a sequence: the item's index in front, from 0
 *   0_Seq__1_Sub_Keyword       "__" between levels
 *   (0019,ACME 1.0,0A)         private: group, creator, element
 *   (0019,ACME 1.0,110A)       a second block of the same creator: the whole element number
 *   (0019,,100A)               no creator
 *
 * Attributes in alphabetical (byte) order of their keyword inside each data set, sequences in place, then
 * private ones in tag order. Left out: pixel data on all levels, elements without a keyword, groups 50xx and
 * 60xx, private creators (their elements' names say them). An empty sequence is one column. */
#ifndef NIFFLER_WORKER_METADATA_H
#define NIFFLER_WORKER_METADATA_H

#include "common/options.h"
#include "common/record.h"
#include "worker/wire.h"

struct metadata; /* scratch memory, reused from file to file */

struct metadata *metadata_new(void);
void metadata_free(struct metadata *md);

/* What the worker needs to know of a file besides its columns. All texts are as pydicom gives them: UTF-8,
 * trailing blanks and NULs removed, leading blanks kept; borrowed from `md` until the next flatten. NULL:
 * absent. */
struct metadata_identity {
    const char *patient_id;
    bool patient_id_is_multiple; /* more than one value */
    const char *study_instance_uid;
    const char *series_instance_uid;
    const char *sop_instance_uid;
    const char *modality;
    bool is_cut; /* the cells, with their columns' names, go beyond max_metadata_bytes: those before
                    that are there */
    size_t attribute_count; /* flattened columns, before file, has_pix_array and category */
};

/* Flatten a checked element list (wire_check_elements()) into record cells, in the order of the columns. The
 * cells are appended to rec->cells by record_add_cell(). */
void metadata_flatten(struct metadata *md, const uint8_t *elements, size_t length,
                      const struct options *options, struct record *rec, struct metadata_identity *identity);

#endif
