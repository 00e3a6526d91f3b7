/* Paths of PNGs and of quarantined copies. Digests from sha224sum(1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/naming.h"

#define P1 "27de6434ef7bae6954d22636ec75f3d16cd3dffcea32873bfb2a500a"
#define EMPTY "d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f"
#define A_B_DCM "6877767b285ae56a29de4c4faf349c91a6f57ab1570061c3b65af400"
#define UID_1_2 "82d2fde4f6db8bc3b0985bf494780f50fbd651b177f130b7f56f7c04"
#define ALL_PATIENTS "39ed9add77aaa74933bd123bef713a18c0a6e32c71cc9a3452579ac5"
#define ALL_STUDIES "e4ca9d993b521a2f3a21c99b923a9e8973fe54438a01cc8416db75af"
#define ALL_SERIES "51f067a792b0992f19b25a41918ef9f42350751cec607799b5422b1a"
#define MARK_A_P1 "08af49f4"
#define MARK_P1 "fbaec5a8"
#define MARK_DCM "2957a293"
#define MARK_WIDE "b4c7ab88"

static void check(void **state, const char *path, struct metadata_identity identity,
                  const struct options *options, uint32_t frame, const char *want)
{
    struct buffer out = {0};
    buffer_append_text(&out, "x");
    naming_png_path(*state, &out, path, &identity, options, frame);
    assert_string_equal(buffer_text(&out) + 1, want);
    buffer_clear(&out);
}

static void names_by_path(void **state)
{
    struct options options = {.flattened_to_level = FLATTEN_PATIENT};
    struct metadata_identity identity = {.patient_id = "P1", .study_instance_uid = "1.2"};
    check(state, "a/b.dcm", identity, &options, 0, "extracted-images/" P1 "/" A_B_DCM ".png");
    check(state, "a/b.dcm", identity, &options, 12, "extracted-images/" P1 "/" A_B_DCM "-0012.png");
    check(state, "a/b.dcm", identity, &options, 123456, "extracted-images/" P1 "/" A_B_DCM "-123456.png");
    options.flattened_to_level = FLATTEN_STUDY;
    check(state, "a/b.dcm", identity, &options, 0, "extracted-images/" P1 "/" UID_1_2 "/" A_B_DCM ".png");
    options.flattened_to_level = FLATTEN_SERIES;
    check(state, "a/b.dcm", identity, &options, 0,
          "extracted-images/" P1 "/" UID_1_2 "/" ALL_SERIES "/" A_B_DCM ".png");
}

static void names_what_is_absent(void **state)
{
    struct options options = {.flattened_to_level = FLATTEN_STUDY};
    struct metadata_identity identity = {0};
    check(state, "a/b.dcm", identity, &options, 0,
          "extracted-images/" ALL_PATIENTS "/" ALL_STUDIES "/" A_B_DCM ".png");
    identity.patient_id = "";
    identity.study_instance_uid = "";
    check(state, "a/b.dcm", identity, &options, 0, "extracted-images/" EMPTY "/" EMPTY "/" A_B_DCM ".png");
}

/* Under compatibility the basename without its last four characters, and the mark that the aggregator takes
 * off. */
static void names_as_niffler(void **state)
{
    struct options options = {.flattened_to_level = FLATTEN_PATIENT, .compatibility_niffler = true};
    struct metadata_identity identity = {.patient_id = "P1"};
    check(state, "a/P1.dcm", identity, &options, 0, "extracted-images/" P1 "/" P1 "~" MARK_A_P1 ".png");
    check(state, "P1.dcm", identity, &options, 2, "extracted-images/" P1 "/" P1 "~" MARK_P1 "-0002.png");
    check(state, "dcm", identity, &options, 0, "extracted-images/" P1 "/" EMPTY "~" MARK_DCM ".png");
    check(state, "P1\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", identity, &options, 0,
          "extracted-images/" P1 "/" P1 "~" MARK_WIDE ".png");

    /* Where one UID is missing, Niffler uses neither. */
    options.flattened_to_level = FLATTEN_SERIES;
    identity.study_instance_uid = "1.2";
    check(state, "P1.dcm", identity, &options, 0,
          "extracted-images/" P1 "/" ALL_STUDIES "/" ALL_SERIES "/" P1 "~" MARK_P1 ".png");
}

/* What the last name left behind changes no other. */
static void names_one_after_another(void **state)
{
    struct options options = {.flattened_to_level = FLATTEN_STUDY};
    struct metadata_identity identity = {.patient_id = "P1", .study_instance_uid = "1.2"};
    struct metadata_identity swapped = {.patient_id = "1.2", .study_instance_uid = "P1"};
    for (int i = 0; i < 2; i++) {
        check(state, "a/b.dcm", identity, &options, 0, "extracted-images/" P1 "/" UID_1_2 "/" A_B_DCM ".png");
        check(state, "a/b.dcm", identity, &options, 0, "extracted-images/" P1 "/" UID_1_2 "/" A_B_DCM ".png");
        check(state, "a/b.dcm", swapped, &options, 0, "extracted-images/" UID_1_2 "/" P1 "/" A_B_DCM ".png");
        options.flattened_to_level = FLATTEN_PATIENT;
        check(state, "a/b.dcm", swapped, &options, 0, "extracted-images/" UID_1_2 "/" A_B_DCM ".png");
        options.flattened_to_level = FLATTEN_STUDY;
    }
}

static int open_naming(void **state)
{
    *state = naming_new();
    return 0;
}

static int close_naming(void **state)
{
    naming_free(*state);
    return 0;
}

static void names_failed_copies(void **state)
{
    struct buffer out = {0};
    naming_failed_path(*state, &out, "a/P1.dcm", CATEGORY_UNDECODABLE);
    assert_string_equal(buffer_text(&out), "failed-dicom/3/P1-" MARK_A_P1 ".dcm");
    buffer_truncate(&out, 0);
    naming_failed_path(*state, &out, "dcm", CATEGORY_NOT_USABLE);
    assert_string_equal(buffer_text(&out), "failed-dicom/1/dcm-" MARK_DCM ".dcm");
    buffer_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_by_path),       cmocka_unit_test(names_what_is_absent),
        cmocka_unit_test(names_as_niffler),    cmocka_unit_test(names_one_after_another),
        cmocka_unit_test(names_failed_copies),
    };
    return cmocka_run_group_tests(tests, open_naming, close_naming);
}
