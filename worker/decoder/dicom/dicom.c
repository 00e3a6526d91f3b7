/* Files (PS3.10 Section 7): preamble, meta header, transfer syntax, then the walk of the data set. */
#include "worker/decoder/dicom/dicom.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/alloc.h"
#include "common/dictionary.h"
#include "worker/decoder/dicom/dicom_walk.h"

#define PREAMBLE_BYTES 132
#define TAG_TRANSFER_SYNTAX DICOM_TAG(0x0002, 0x0010)

struct dicom *dicom_new(void)
{
    struct dicom *dcm = xcalloc(1, sizeof *dcm);
    dcm->source.descriptor = -1;
    dcm->tables = charset_tables_new();
    return dcm;
}

static void forget_file(struct dicom *dcm)
{
    for (size_t i = 0; i < dcm->kept_count; i++)
        free(dcm->kept[i]);
    dcm->kept_count = 0;
    free(dcm->inflated);
    dcm->inflated = NULL;
    dcm->element_count = 0;
    dcm->is_indexed = false;
    dcm->value_bytes = 0;
    dcm->is_cut = false;
    dcm->is_mended = false;
    dcm->syntax = (struct dicom_syntax){0};
    dcm->pixels = (struct dicom_pixels){0};
}

void dicom_shrink(struct dicom *dcm)
{
    forget_file(dcm);
    free(dcm->kept);
    free(dcm->elements);
    free(dcm->top);
    buffer_clear(&dcm->text);
    dicom_source_clear(&dcm->source);
    *dcm = (struct dicom){.tables = dcm->tables, .source = dcm->source};
}

void dicom_free(struct dicom *dcm)
{
    if (dcm == NULL)
        return;
    dicom_shrink(dcm);
    charset_tables_free(dcm->tables);
    free(dcm);
}

/* ---- the meta header ---- */

static bool walk_group(struct dicom *dcm, uint64_t *at, uint16_t group, bool implicit_vr,
                       const struct options *options, struct error *err)
{
    struct dicom_encoding encoding = {.implicit_vr = implicit_vr};
    return dicom_walk_group(dcm, at, group, encoding, options, err);
}

/* Read group 0002 and leave it out of the list; what it says of the transfer syntax is kept. */
static bool read_meta_header(struct dicom *dcm, uint64_t *at, const struct options *options, bool *is_there,
                             struct error *err)
{
    const uint8_t *p = dicom_source_view(&dcm->source, *at, 6);
    /* Explicit by PS3.10 7.1; the walk sees elements that are not, one by one. */
    bool implicit_vr = options->compatibility_niffler && p != NULL &&
                       !(p[4] >= 'A' && p[4] <= 'Z' && p[5] >= 'A' && p[5] <= 'Z');
    bool ok = walk_group(dcm, at, 0x0002, implicit_vr, options, err);
    *is_there = dcm->element_count > 0;
    (void)dicom_find_text(dcm, TAG_TRANSFER_SYNTAX, dcm->syntax.uid, sizeof dcm->syntax.uid);
    dcm->element_count = 0;
    dcm->value_bytes = 0;
    return ok;
}

/* ---- the encoding of the data set ---- */

static void choose_encoding(struct dicom *dcm, uint64_t at, struct dicom_encoding *encoding)
{
    const char *uid = dcm->syntax.uid;
    const uint8_t *p = dicom_source_view(&dcm->source, at, 6);
    *encoding = (struct dicom_encoding){.implicit_vr = true};
    if (uid[0] == '\0') {
        dcm->syntax.guessed = true;
        if (p != NULL && dicom_is_known_vr(p + 4)) {
            encoding->implicit_vr = false;
            encoding->big_endian = dicom_u16(p, false) >= 1024; /* groups up to 00FF, bytes exchanged */
        }
    } else if (strcmp(uid, "1.2.840.10008.1.2") != 0) {
        encoding->implicit_vr = false;
        encoding->big_endian = strcmp(uid, "1.2.840.10008.1.2.2") == 0;
    }
    /* Some writers say one and write the other. */
    bool looks_implicit = p != NULL && !(p[4] >= 'A' && p[4] <= 'Z' && p[5] >= 'A' && p[5] <= 'Z');
    if (p != NULL)
        encoding->implicit_vr = looks_implicit;
    dcm->syntax.big_endian = encoding->big_endian;
    dcm->syntax.implicit_vr = encoding->implicit_vr;
}

/* ---- deflated data sets (PS3.5 A.5) ---- */

static bool grow(uint8_t **bytes, size_t *capacity, size_t used, size_t limit, struct error *err)
{
    size_t wanted = *capacity < 65536 ? 65536 : *capacity * 2;
    void *larger;
    if (*capacity >= limit)
        return error_input(
            err, CATEGORY_DECODER, CODE_LIMIT_ATTRIBUTES,
            "a deflated data set of more than %zu bytes (MaxMetadataBytes, and 8 times MaxPixels)", limit);
    if (wanted > limit)
        wanted = limit;
    if (!alloc_pixels(&larger, wanted, 1, limit, err))
        return false;
    if (used > 0)
        memcpy(larger, *bytes, used);
    free(*bytes);
    *bytes = larger;
    *capacity = wanted;
    return true;
}

static bool inflate_all(struct dicom *dcm, uint64_t at, size_t limit, size_t *length, struct error *err)
{
    z_stream stream = {0};
    size_t capacity = 0;
    int code = Z_OK;
    bool ok = false;
    *length = 0;
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
        return error_input(err, CATEGORY_DECODER, CODE_LIMIT_MEMORY, "zlib has not enough memory");
    while (code == Z_OK && at < dcm->source.size) {
        size_t count = dcm->source.size - at < 32768 ? (size_t)(dcm->source.size - at) : 32768;
        const uint8_t *p = dicom_source_view(&dcm->source, at, count);
        if (p == NULL)
            break;
        memcpy(&stream.next_in, &p, sizeof p);
        stream.avail_in = (uInt)count;
        while (code == Z_OK && stream.avail_in > 0) {
            if (*length == capacity && !grow(&dcm->inflated, &capacity, *length, limit, err))
                goto out;
            size_t room = capacity - *length < UINT32_MAX ? capacity - *length : UINT32_MAX;
            stream.next_out = dcm->inflated + *length;
            stream.avail_out = (uInt)room;
            code = inflate(&stream, Z_NO_FLUSH);
            *length += room - stream.avail_out;
        }
        at += count;
    }
    /* What the window of inflate() still holds. */
    while (code == Z_OK && stream.avail_out == 0) {
        if (!grow(&dcm->inflated, &capacity, *length, limit, err))
            goto out;
        stream.next_out = dcm->inflated + *length;
        stream.avail_out = (uInt)(capacity - *length < UINT32_MAX ? capacity - *length : UINT32_MAX);
        size_t room = stream.avail_out;
        code = inflate(&stream, Z_SYNC_FLUSH);
        *length += room - stream.avail_out;
    }
    dcm->is_cut |= code != Z_STREAM_END;
    ok = *length > 0 || code == Z_STREAM_END; /* an empty data set is one */
    if (!ok)
        (void)error_input(err, CATEGORY_NOT_USABLE, CODE_MALFORMED, "the deflated data set does not inflate");
out:
    (void)inflateEnd(&stream);
    return ok;
}

static bool read_deflated(struct dicom *dcm, uint64_t *at, const struct options *options, struct error *err)
{
    size_t length;
    uint64_t limit = options->max_metadata_bytes + 8 * options->max_pixels;
    if (!inflate_all(dcm, *at, limit > PTRDIFF_MAX ? PTRDIFF_MAX : (size_t)limit, &length, err))
        return false;
    dicom_source_open_memory(&dcm->source, dcm->inflated, length);
    *at = 0;
    return true;
}

/* ---- reading ---- */

/* Without "DICM" only a data set tells a DICOM file from any other: it begins with an attribute that exists,
 * whose value lies within the file. Zeros are no length of a group, which has four bytes. */
static bool begins_like_data_set(const struct dicom *dcm)
{
    const struct dicom_element *first = dcm->elements;
    if (dcm->element_count == 0 || (first->tag >> 16) > 0x0020 || first->length != first->promised)
        return false;
    if ((first->tag & 0xffff) == 0)
        return first->length == 4;
    return dictionary_find(first->tag) != NULL && (dcm->element_count > 1 || first->length > 0);
}

static bool read_file(struct dicom *dcm, const struct options *options, struct error *err)
{
    uint64_t at = 0;
    bool has_meta = false, is_whole = true;
    struct dicom_encoding encoding;
    const uint8_t *p = dicom_source_view(&dcm->source, 0, PREAMBLE_BYTES);
    dcm->syntax.has_preamble = p != NULL && memcmp(p + 128, "DICM", 4) == 0;
    if (dcm->syntax.has_preamble)
        at = PREAMBLE_BYTES;
    if (!read_meta_header(dcm, &at, options, &has_meta, err))
        return false;
    /* Command elements (PS3.7 6.3) have no place in a file, but are found in some. */
    if ((p = dicom_source_view(&dcm->source, at, 8)) != NULL && dicom_u16(p, false) == 0)
        is_whole = walk_group(dcm, &at, 0x0000, true, options, err);
    dcm->syntax.deflated = strcmp(dcm->syntax.uid, "1.2.840.10008.1.2.1.99") == 0;
    if (is_whole && dcm->syntax.deflated && !read_deflated(dcm, &at, options, err))
        return false;
    choose_encoding(dcm, at, &encoding);
    is_whole = is_whole && dicom_walk(dcm, &at, encoding, options, err) &&
               (options->compatibility_niffler || dicom_mend(dcm, encoding, options, err));
    dicom_index(dcm);
    if (dcm->syntax.has_preamble || has_meta || begins_like_data_set(dcm))
        return is_whole;
    /* Niffler has a row for anything that is named *.dcm. */
    return options->compatibility_niffler ||
           error_input(err, CATEGORY_NOT_USABLE, CODE_NOT_DICOM, "not a DICOM file");
}

bool dicom_read(struct dicom *dcm, int descriptor, const struct options *options, struct error *err)
{
    forget_file(dcm);
    if (!dicom_source_open_file(&dcm->source, descriptor, err))
        return error_input(err, CATEGORY_NOT_USABLE, CODE_INPUT_IO, "the file cannot be read");
    bool ok = read_file(dcm, options, err);
    if (dcm->source.failed)
        return error_input(err, CATEGORY_NOT_USABLE, CODE_INPUT_IO, "reading the file failed in the middle");
    return ok;
}

bool dicom_read_memory(struct dicom *dcm, const uint8_t *bytes, size_t length, const struct options *options,
                       struct error *err)
{
    forget_file(dcm);
    dicom_source_open_memory(&dcm->source, bytes, length);
    return read_file(dcm, options, err);
}

bool dicom_is_cut(const struct dicom *dcm)
{
    return dcm->is_cut;
}

bool dicom_is_mended(const struct dicom *dcm)
{
    return dcm->is_mended;
}

const struct dicom_syntax *dicom_syntax(const struct dicom *dcm)
{
    return &dcm->syntax;
}

const struct dicom_pixels *dicom_pixels(const struct dicom *dcm)
{
    return &dcm->pixels;
}

bool dicom_read_bytes(struct dicom *dcm, uint64_t offset, void *bytes, size_t length, struct error *err)
{
    if (offset > dcm->source.size || length > dcm->source.size - offset)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_TOO_SHORT,
                           "the file ends before the pixel data does");
    return dicom_source_copy(&dcm->source, offset, bytes, length) ||
           error_input(err, CATEGORY_NOT_USABLE, CODE_INPUT_IO, "reading the pixel data failed");
}
