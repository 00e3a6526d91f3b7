/* From element lists to columns. Each test writes a data set as a decoder would send it, and reads the
 * columns as one text: a line "column=value" each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/dictionary.h"
#include "worker/metadata.h"

struct fixture {
    struct buffer list;
    uint32_t depth;
    struct options options;
    struct metadata *md;
    struct record rec;
    struct metadata_identity identity;
    struct buffer text;
};

static void start(struct fixture *f, bool is_niffler)
{
    *f = (struct fixture){.md = metadata_new()};
    f->options.compatibility_niffler = is_niffler;
    f->options.value_format = is_niffler ? VALUE_FORMAT_NIFFLER : VALUE_FORMAT_DICOM;
    f->options.public_headers_only = true;
    f->options.max_metadata_bytes = 1u << 24;
}

static void finish(struct fixture *f)
{
    buffer_clear(&f->list);
    buffer_clear(&f->text);
    record_clear(&f->rec);
    metadata_free(f->md);
}

static void add(struct fixture *f, enum wire_element_kind kind, uint32_t tag, const char *vr,
                const char *text)
{
    struct wire_element element = {.kind = kind, .tag = tag, .depth = f->depth};
    memcpy(element.vr, vr, 2);
    element.bytes = (const uint8_t *)text;
    element.length = (uint32_t)strlen(text);
    element.full_length = element.length;
    wire_append_element(&f->list, &element);
}

static void value(struct fixture *f, uint32_t tag, const char *vr, const char *text)
{
    add(f, WIRE_VALUE, tag, vr, text);
}

static void sequence(struct fixture *f, uint32_t tag)
{
    add(f, WIRE_SEQUENCE, tag, "SQ", "");
}

/* The first item of a sequence goes one level down; the next ones stay there. */
static void item(struct fixture *f, uint32_t tag)
{
    add(f, WIRE_ITEM, tag, "SQ", "");
    f->depth++;
}

static void end_item(struct fixture *f)
{
    f->depth--;
}

static const char *flattened(struct fixture *f)
{
    struct error err = {0};
    assert_true(wire_check_elements((const uint8_t *)f->list.data, f->list.length, &err));
    record_reset(&f->rec);
    metadata_flatten(f->md, (const uint8_t *)f->list.data, f->list.length, &f->options, &f->rec,
                     &f->identity);
    assert_int_equal(f->identity.attribute_count, f->rec.cell_count);
    buffer_truncate(&f->text, 0);
    for (size_t i = 0; i < f->rec.cell_count; i++) {
        buffer_append_text(&f->text, record_text(&f->rec, f->rec.cells[i].column));
        buffer_append_char(&f->text, '=');
        buffer_append_text(&f->text, record_text(&f->rec, f->rec.cells[i].value));
        buffer_append_char(&f->text, '\n');
    }
    return buffer_text(&f->text);
}

static void orders_by_keyword(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, false);
    value(&f, 0x00080060, "CS", "CT");
    value(&f, 0x00100010, "PN", "A^B");
    value(&f, 0x00080050, "SH", "7");
    value(&f, 0x00280010, "US", "\1\1");
    assert_string_equal(flattened(&f), "AccessionNumber=7\nModality=CT\nPatientName=A^B\nRows=257\n");
    assert_string_equal(flattened(&f), "AccessionNumber=7\nModality=CT\nPatientName=A^B\nRows=257\n");
    finish(&f);
}

/* Few and many elements are put in order in two ways, which must agree. */
static void orders_many_elements(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, false);
    for (unsigned rank = 2000; rank > 1000; rank -= 10) {
        value(&f, dictionary_at_rank(rank)->tag, "LO", "first");
        value(&f, dictionary_at_rank(rank)->tag, "LO", "second");
    }
    (void)flattened(&f);
    assert_in_range(f.rec.cell_count, 90, 100); /* but for delimiters and the like */
    for (size_t i = 0; i < f.rec.cell_count; i++) {
        const char *column = record_text(&f.rec, f.rec.cells[i].column);
        assert_true(i == 0 || strcmp(record_text(&f.rec, f.rec.cells[i - 1].column), column) < 0);
        assert_string_equal(record_text(&f.rec, f.rec.cells[i].value), "second");
    }
    finish(&f);
}

static void keeps_the_later_of_two(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, true);
    value(&f, 0x00080060, "CS", "CT");
    value(&f, 0x00080050, "SH", "7");
    value(&f, 0x00080060, "CS", "MR");
    assert_string_equal(flattened(&f), "AccessionNumber=7\nModality=MR\n");
    assert_string_equal(f.identity.modality, "MR");
    finish(&f);
}

static void leaves_out_what_has_no_column(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, false);
    value(&f, 0x00080060, "CS", "CT");
    value(&f, 0x00090010, "LO", "ACME 1.0");
    value(&f, 0x00091001, "LO", "private");
    value(&f, 0x00280020, "UN", "no keyword");
    value(&f, 0x60003000, "OW", "repeating group");
    value(&f, 0x7fe00010, "OW", "pixels");
    value(&f, 0xfffee00d, "UN", "");
    assert_string_equal(flattened(&f), "Modality=CT\n");
    finish(&f);
}

static void add_nested(struct fixture *f)
{
    value(f, 0x00080060, "CS", "CT");
    sequence(f, 0x00081115); /* ReferencedSeriesSequence */
    for (int i = 0; i < 2; i++) {
        item(f, 0x00081115);
        value(f, 0x0020000e, "UI", "1.2");
        sequence(f, 0x00081199); /* ReferencedSOPSequence */
        item(f, 0x00081199);
        value(f, 0x00081150, "UI", "3.4");
        end_item(f);
        item(f, 0x00081199);
        end_item(f);
        item(f, 0x00081199);
        sequence(f, 0x0040a170); /* PurposeOfReferenceCodeSequence */
        item(f, 0x0040a170);
        value(f, 0x00080100, "SH", "X");
        end_item(f);
        end_item(f);
        value(f, 0x00080050, "SH", "behind");
        end_item(f);
    }
    value(f, 0x00280010, "US", "\1\1");
}

static void names_nested_attributes(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, true);
    add_nested(&f);
    assert_string_equal(
        flattened(&f),
        "Modality=CT\n"
        "0_ReferencedSeriesSequence_AccessionNumber=behind\n"
        "0_ReferencedSeriesSequence__0_ReferencedSOPSequence_ReferencedSOPClassUID=3.4\n"
        "0_ReferencedSeriesSequence__2_ReferencedSOPSequence__0_PurposeOfReferenceCodeSequence_"
        "CodeValue=X\n"
        "0_ReferencedSeriesSequence_SeriesInstanceUID=1.2\n"
        "1_ReferencedSeriesSequence_AccessionNumber=behind\n"
        "1_ReferencedSeriesSequence__0_ReferencedSOPSequence_ReferencedSOPClassUID=3.4\n"
        "1_ReferencedSeriesSequence__2_ReferencedSOPSequence__0_PurposeOfReferenceCodeSequence_"
        "CodeValue=X\n"
        "1_ReferencedSeriesSequence_SeriesInstanceUID=1.2\n"
        "Rows=257\n");
    assert_null(f.identity.series_instance_uid); /* not the nested one */
    finish(&f);
}

static void writes_empty_sequences(void **state)
{
    struct fixture f;
    struct wire_element undefined = {.kind = WIRE_SEQUENCE, .tag = 0x00082112, .vr = {'S', 'Q'}};
    (void)state;
    start(&f, true);
    sequence(&f, 0x00081115);
    undefined.flags = WIRE_VALUE_UNDEFINED;
    wire_append_element(&f.list, &undefined);
    assert_string_equal(flattened(&f), "ReferencedSeriesSequence=[]\n");
    f.options.compatibility_niffler = false;
    f.options.value_format = VALUE_FORMAT_DICOM;
    assert_string_equal(flattened(&f), "ReferencedSeriesSequence=\nSourceImageSequence=\n");
    finish(&f);
}

static void names_private_attributes(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, false);
    f.options.public_headers_only = false;
    value(&f, 0x0019100a, "LO", "second");
    value(&f, 0x00190010, "LO", "ACME 1.0 ");
    value(&f, 0x00190011, "LO", "OTHER");
    value(&f, 0x00190012, "LO", "ACME 1.0");
    value(&f, 0x00191001, "LO", "first");
    value(&f, 0x00191101, "DS", "1.50");
    value(&f, 0x00191201, "LO", "twice the creator");
    value(&f, 0x00191301, "LO", "no creator");
    value(&f, 0x00191301, "LO", "no creator, later");
    sequence(&f, 0x00191110);
    item(&f, 0x00191110);
    value(&f, 0x00080100, "SH", "public below");
    value(&f, 0x00191101, "LO", "creators are not inherited");
    end_item(&f);
    value(&f, 0x00280010, "US", "\1\1");
    assert_string_equal(flattened(&f), "Rows=257\n"
                                       "(0019,ACME 1.0,01)=first\n"
                                       "(0019,ACME 1.0,0A)=second\n"
                                       "(0019,OTHER,01)=1.50\n"
                                       "0_(0019,OTHER,10)_CodeValue=public below\n"
                                       "0_(0019,OTHER,10)_(0019,,1101)=creators are not inherited\n"
                                       "(0019,ACME 1.0,1201)=twice the creator\n"
                                       "(0019,,1301)=no creator, later\n");
    finish(&f);
}

static void reads_identity_as_pydicom_does(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, true);
    value(&f, 0x00080018, "UI", "1.2.3 ");
    value(&f, 0x00100020, "LO", " A  ");
    value(&f, 0x0020000d, "UI", "");
    (void)flattened(&f);
    assert_string_equal(f.identity.patient_id, " A");
    assert_false(f.identity.patient_id_is_multiple);
    assert_string_equal(f.identity.study_instance_uid, "");
    assert_null(f.identity.series_instance_uid);
    assert_string_equal(f.identity.sop_instance_uid, "1.2.3");
    assert_null(f.identity.modality);

    value(&f, 0x00100020, "LO", "A\\B");
    (void)flattened(&f);
    assert_string_equal(f.identity.patient_id, "A\\B");
    assert_true(f.identity.patient_id_is_multiple);
    finish(&f);
}

static void drops_what_niffler_drops(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, true);
    value(&f, 0x00200013, "IS", "1.5");
    value(&f, 0x00080060, "CS", "CT");
    assert_string_equal(flattened(&f), "Modality=CT\n");
    f.options.compatibility_niffler = false;
    f.options.value_format = VALUE_FORMAT_DICOM;
    assert_string_equal(flattened(&f), "InstanceNumber=1.5\nModality=CT\n");
    finish(&f);
}

static void reads_known_attributes_sent_as_unknown(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, true);
    value(&f, 0x00100010, "UN", "A^B ");
    value(&f, 0x00280010, "UN", "\1\1");
    value(&f, 0x00100020, "UN", "\xff\xfe");
    assert_string_equal(flattened(&f), "PatientID=b'\\xff\\xfe'\nPatientName=A^B\nRows=257\n");
    finish(&f);
}

/* A contour sequence of `count` items of two attributes each inside one item. */
static void add_large_item(struct fixture *f, size_t count)
{
    sequence(f, 0x30060039); /* ROIContourSequence */
    item(f, 0x30060039);
    sequence(f, 0x30060040); /* ContourSequence */
    for (size_t i = 0; i < count; i++) {
        item(f, 0x30060040);
        value(f, 0x30060046, "IS", "07");   /* NumberOfContourPoints */
        value(f, 0x30060050, "DS", "1\\2"); /* ContourData */
        end_item(f);
    }
    end_item(f);
}

static void condenses_large_items(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, true);
    add_large_item(&f, 1000);
    (void)flattened(&f);
    assert_int_equal(f.rec.cell_count, 2000);
    finish(&f);

    start(&f, true);
    add_large_item(&f, 1001);
    const char *text = flattened(&f);
    const char *head =
        "0_ROIContourSequence=[('0_ROIContourSequence__0_ContourSequence_ContourData', ('1.0', '2.0')), "
        "('0_ROIContourSequence__0_ContourSequence_NumberOfContourPoints', '07'), ('0_ROI";
    const char *tail = "('0_ROIContourSequence__1000_ContourSequence_NumberOfContourPoints', '07')]\n";
    assert_int_equal(f.rec.cell_count, 1);
    assert_memory_equal(text, head, strlen(head));
    assert_string_equal(text + strlen(text) - strlen(tail), tail);

    f.options.compatibility_niffler = false;
    (void)flattened(&f);
    assert_int_equal(f.rec.cell_count, 2002);
    finish(&f);
}

/* A condensed item counts once in the item around it, and is quoted there as the text it has become. */
static void condenses_inside_of_condensed(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, true);
    sequence(&f, 0x00081115);
    item(&f, 0x00081115);
    add_large_item(&f, 1001);
    end_item(&f);
    (void)flattened(&f);
    assert_int_equal(f.rec.cell_count, 1);
    assert_string_equal(record_text(&f.rec, f.rec.cells[0].column),
                        "0_ReferencedSeriesSequence__0_ROIContourSequence");
    finish(&f);

    start(&f, true);
    sequence(&f, 0x00081115);
    item(&f, 0x00081115);
    add_large_item(&f, 1001);
    sequence(&f, 0x00081199);
    for (int i = 0; i < 2000; i++) {
        item(&f, 0x00081199);
        value(&f, 0x00081150, "UI", "1");
        end_item(&f);
    }
    end_item(&f);
    (void)flattened(&f);
    const char *want =
        "[('0_ReferencedSeriesSequence__0_ROIContourSequence', \"[('0_ReferencedSeriesSequence__0_ROI"
        "ContourSequence__0_ContourSequence_ContourData', ('1.0', '2.0')), ";
    assert_int_equal(f.rec.cell_count, 1);
    assert_string_equal(record_text(&f.rec, f.rec.cells[0].column), "0_ReferencedSeriesSequence");
    assert_memory_equal(record_text(&f.rec, f.rec.cells[0].value), want, strlen(want));
    finish(&f);
}

/* The decoder is not trusted: whatever passes wire_check_elements() must not harm. */
/* Names repeat those around them, so that a small file can mean a large record: it ends at the limit. */
static void ends_at_the_limit_of_bytes(void **state)
{
    (void)state;
    for (int is_niffler = 0; is_niffler < 2; is_niffler++) {
        struct fixture f;
        start(&f, is_niffler == 1);
        value(&f, 0x00080060, "CS", "MR");
        for (int i = 0; i < 50; i++) {
            sequence(&f, 0x0040a730);
            item(&f, 0x0040a730);
        }
        add_large_item(&f, 1500);
        assert_memory_equal(flattened(&f), "0_ContentSequence", 17);
        size_t whole = f.rec.text.length;
        assert_false(f.identity.is_cut);
        assert_in_range(whole, 50000, SIZE_MAX);
        f.options.max_metadata_bytes = whole - 100;
        (void)flattened(&f);
        assert_true(f.identity.is_cut);
        f.options.max_metadata_bytes = 20000;
        (void)flattened(&f);
        assert_true(f.identity.is_cut);
        assert_in_range(f.rec.text.length, is_niffler == 1 ? 1 : 15000, 20000 + 10000);
        finish(&f);
    }
}

static void survives_hostile_lists(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, true);
    f.options.public_headers_only = false;
    item(&f, 0x00081115); /* no sequence around it */
    value(&f, 0x00080060, "CS", "CT");
    end_item(&f);
    value(&f, 0x00080060, "CS", "MR");
    for (int i = 0; i < 20000; i++) {
        sequence(&f, 0x00081115);
        item(&f, 0x00081115);
    }
    value(&f, 0x00080060, "CS", "too deep");
    f.depth = 0;
    for (uint32_t i = 30000; i > 0; i--)
        value(&f, 0x00190000 | i, "LO", "descending");
    assert_memory_equal(flattened(&f), "Modality=MR\n", 12);
    assert_null(strstr(buffer_text(&f.text), "too deep"));
    finish(&f);

    start(&f, false);
    assert_string_equal(flattened(&f), "");
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orders_by_keyword),        cmocka_unit_test(orders_many_elements),
        cmocka_unit_test(keeps_the_later_of_two),   cmocka_unit_test(leaves_out_what_has_no_column),
        cmocka_unit_test(names_nested_attributes),  cmocka_unit_test(writes_empty_sequences),
        cmocka_unit_test(names_private_attributes), cmocka_unit_test(reads_identity_as_pydicom_does),
        cmocka_unit_test(drops_what_niffler_drops), cmocka_unit_test(reads_known_attributes_sent_as_unknown),
        cmocka_unit_test(condenses_large_items),    cmocka_unit_test(condenses_inside_of_condensed),
        cmocka_unit_test(survives_hostile_lists),   cmocka_unit_test(ends_at_the_limit_of_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
