/* The data dictionary: order and completeness of the generated tables, and the three ways in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/dictionary.h"
#include "common/dictionary_table.h"

static void check_entry(uint32_t tag, const char *vr, const char *keyword)
{
    const struct dictionary_entry *entry = dictionary_find(tag);
    assert_non_null(entry);
    assert_int_equal(entry->tag, tag);
    assert_memory_equal(entry->vr, vr, 2);
    assert_string_equal(entry->keyword, keyword);
    assert_ptr_equal(dictionary_find_keyword(keyword), entry);
    assert_ptr_equal(dictionary_at_rank(entry->rank), entry);
}

static void finds_known_attributes(void **state)
{
    (void)state;
    check_entry(0x00080005, "CS", "SpecificCharacterSet");
    check_entry(0x00100010, "PN", "PatientName");
    check_entry(0x00100020, "LO", "PatientID");
    check_entry(0x00280010, "US", "Rows");
    check_entry(0x00280106, "US", "SmallestImagePixelValue");
    check_entry(0x52009230, "SQ", "PerFrameFunctionalGroupsSequence");
    check_entry(0x7fe00010, "OB", "PixelData");
    check_entry(0x00000000, "UL", "CommandGroupLength");
    check_entry(0xfffee000, "UN", "Item");
}

static void does_not_find_others(void **state)
{
    (void)state;
    assert_null(dictionary_find(0x00090010)); /* private         */
    assert_null(dictionary_find(0x60003000)); /* repeating group */
    assert_null(dictionary_find(0x00280020)); /* no keyword      */
    assert_null(dictionary_find(0xffffffff));
    assert_null(dictionary_find_keyword("patientname"));
    assert_null(dictionary_find_keyword("PatientNam"));
    assert_null(dictionary_find_keyword("PatientNames"));
    assert_null(dictionary_find_keyword(""));
    assert_null(dictionary_find_keyword("zzz"));
    assert_null(dictionary_at_rank(DICTIONARY_ENTRY_COUNT));
}

static void finds_every_entry(void **state)
{
    (void)state;
    for (size_t i = 0; i < DICTIONARY_ENTRY_COUNT; i++) {
        const struct dictionary_entry *entry = &dictionary_entries[i];
        assert_true(i == 0 || entry[-1].tag < entry->tag);
        assert_ptr_equal(dictionary_find(entry->tag), entry);
        assert_ptr_equal(dictionary_find_keyword(entry->keyword), entry);
        assert_ptr_equal(dictionary_at_rank(entry->rank), entry);
        assert_true(strlen(entry->keyword) > 0);
    }
}

/* Column order is the byte order of keywords, so ranks must be too. */
static void ranks_follow_byte_order(void **state)
{
    (void)state;
    for (unsigned rank = 1; rank < DICTIONARY_ENTRY_COUNT; rank++)
        assert_true(strcmp(dictionary_at_rank(rank - 1)->keyword, dictionary_at_rank(rank)->keyword) < 0);
}

static void tells_several_vrs(void **state)
{
    (void)state;
    assert_int_equal(dictionary_find(0x00280106)->choice, DICTIONARY_US_OR_SS);
    assert_int_equal(dictionary_find(0x7fe00010)->choice, DICTIONARY_OB_OR_OW);
    assert_int_equal(dictionary_find(0x00283006)->choice, DICTIONARY_US_OR_OW);
    assert_int_equal(dictionary_find(0x00100010)->choice, DICTIONARY_ONE_VR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_known_attributes), cmocka_unit_test(does_not_find_others),
        cmocka_unit_test(finds_every_entry),      cmocka_unit_test(ranks_follow_byte_order),
        cmocka_unit_test(tells_several_vrs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
