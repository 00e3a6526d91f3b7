/* verdict.h: what a record says about a file when all is known: status, category, and the columns
 * has_pix_array and category. Default rules are those of the table of categories (common/error.h); under
 * compatibility, Niffler's. */
#ifndef NIFFLER_WORKER_VERDICT_H
#define NIFFLER_WORKER_VERDICT_H

#include "common/options.h"
#include "common/record.h"
#include "worker/wire.h"

/* Make the record that of a failure. */
void verdict_fail(struct record *rec, enum category category, const char *code, const char *reason);

/* Whether a path's ending says that the file is DICOM: one that is none is then a failure, not ignored. */
bool verdict_claims_to_be_dicom(const char *path);

struct verdict_facts {
    enum wire_object object;
    bool is_decoded;  /* every frame that was asked for                         */
    bool has_patient; /* PatientID is there, with one value                     */
    size_t attribute_count;
};

/* The last word on a record whose failure, if any, is set. */
void verdict_conclude(struct record *rec, const struct options *options, const struct verdict_facts *facts);

#endif
