/* dicom_files.h: the files that the tests of the reader share, and one reader for all tests of a program.
 * Include it after cmocka.h. */
#ifndef NIFFLER_TESTS_UNIT_DICOM_FILES_H
#define NIFFLER_TESTS_UNIT_DICOM_FILES_H

#include "tests/unit/dicom_builder.h"
#include "tests/unit/dicom_list.h"

#define NAME DICOM_TAG(0x0010, 0x0010)
#define PATIENT_ID DICOM_TAG(0x0010, 0x0020)
#define MODALITY DICOM_TAG(0x0008, 0x0060)
#define CHARACTER_SET DICOM_TAG(0x0008, 0x0005)
#define SERIES DICOM_TAG(0x0008, 0x1115)
#define INSTANCES DICOM_TAG(0x0008, 0x1199)
#define CONTENT DICOM_TAG(0x0040, 0xa730)
#define TRIGGERS DICOM_TAG(0x0018, 0x106e)
#define SERIES_UID DICOM_TAG(0x0020, 0x000e)
#define ROWS DICOM_TAG(0x0028, 0x0010)
#define PIXELS DICOM_TAG(0x7fe0, 0x0010)
#define PADDING DICOM_TAG(0xfffc, 0xfffc)

static inline int open_reader(void **state)
{
    *state = dicom_new();
    return 0;
}

static inline int close_reader(void **state)
{
    dicom_free(*state);
    return 0;
}

/* All kinds of values and of sequences. */
static inline void build_data_set(struct builder *b)
{
    static const uint8_t bytes[] = {1, 2, 3, 4};
    build_text(b, CHARACTER_SET, "CS", "ISO_IR 192");
    build_text(b, MODALITY, "CS", "CT");
    build_header(b, SERIES, "SQ", UNDEFINED);
    build_header(b, ITEM, "", UNDEFINED);
    size_t instances = build_begin(b, INSTANCES);
    size_t item = build_begin(b, ITEM);
    build_text(b, DICOM_TAG(0x0008, 0x1155), "UI", "1.2.3");
    build_end(b, item);
    item = build_begin(b, ITEM);
    build_end(b, item);
    build_end(b, instances);
    build_text(b, SERIES_UID, "UI", "1.2");
    build_header(b, ITEM_END, "", 0);
    build_header(b, SEQUENCE_END, "", 0);
    build_text(b, NAME, "PN", "Wang^XiaoDong=王^小東");
    build_text(b, PATIENT_ID, "LO", "a\\b ");
    build_header(b, DICOM_TAG(0x0018, 0x1063), "DS", 0);
    build_header(b, DICOM_TAG(0x0018, 0x9073), "FD", 8);
    build_number(b, 0x4009000000000000u, 8); /* 3.125 */
    build_header(b, DICOM_TAG(0x0020, 0x9165), "AT", 4);
    build_number(b, 0x0018, 2);
    build_number(b, 0x1063, 2);
    build_u16(b, ROWS, "US", 0x0102);
    build_header(b, TRIGGERS, "UL", 8);
    build_number(b, 1, 4);
    build_number(b, 0x01020304, 4);
    build_header(b, CONTENT, "SQ", 0);
    build_bytes(b, DICOM_TAG(0x0042, 0x0011), "OB", bytes, 4);
}

static inline void build_deflated(struct builder *b)
{
    struct builder plain = {0};
    build_data_set(&plain);
    build_meta(b, DEFLATED);
    deflate_into(&b->bytes, plain.bytes.data, plain.bytes.length);
    buffer_clear(&plain.bytes);
}

#endif
