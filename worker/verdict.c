#include "worker/verdict.h"

#include <stdio.h>
#include <string.h>

/* More attributes than this put a copy into failed-dicom/5; the file is converted nevertheless. */
#define ATTRIBUTES_MANY_PUBLIC 300
#define ATTRIBUTES_MANY_PRIVATE 800

void verdict_fail(struct record *rec, enum category category, const char *code, const char *reason)
{
    rec->status = RECORD_FAILED;
    rec->category = category;
    rec->code = record_add_text(rec, code, strlen(code));
    rec->reason = record_add_text(rec, reason, strlen(reason));
}

bool verdict_claims_to_be_dicom(const char *path)
{
    static const char *const endings[] = {".dcm", ".dicom", ".ima"};
    size_t length = strlen(path);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t count = strlen(endings[i]);
        if (length >= count && strcasecmp(path + length - count, endings[i]) == 0)
            return true;
    }
    return false;
}

/* Niffler's own rule for a picture that it decoded: it takes PatientID's digest, and fails without one. */
static void apply_niffler_rules(struct record *rec, const struct options *options, bool has_patient)
{
    rec->is_uncategorized = rec->has_pix_array;
    if (rec->status == RECORD_NO_IMAGE)
        verdict_fail(rec, CATEGORY_NOT_USABLE, CODE_NO_PIXELS, "no pixel data");
    if (rec->status == RECORD_CONVERTED && options->print_images && !has_patient)
        verdict_fail(rec, CATEGORY_NOT_USABLE, CODE_MISSING_ATTRIBUTE,
                     "PatientID is missing, or has several values");
}

void verdict_conclude(struct record *rec, const struct options *options, const struct verdict_facts *facts)
{
    rec->has_pix_array = facts->object == WIRE_IMAGE && facts->is_decoded;
    rec->is_uncategorized = facts->object == WIRE_IMAGE;
    if (options->compatibility_niffler)
        apply_niffler_rules(rec, options, facts->has_patient);
    size_t many = options->public_headers_only ? ATTRIBUTES_MANY_PUBLIC : ATTRIBUTES_MANY_PRIVATE;
    if (facts->attribute_count > many && rec->category == CATEGORY_NONE) {
        char reason[96];
        (void)snprintf(reason, sizeof reason, "%zu attributes, more than %zu; converted nevertheless",
                       facts->attribute_count, many);
        enum record_status status = rec->status;
        verdict_fail(rec, CATEGORY_TOO_MANY, CODE_TOO_MANY_TAGS, reason);
        rec->status = status;
    }
}
