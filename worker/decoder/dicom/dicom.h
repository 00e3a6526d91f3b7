/* dicom.h: the C view of a DICOM file.
 *
 *  1. struct dicom is opaque to all but dicom*.c; it belongs to one thread.
 *  2. Nothing here calls into DCMTK: files are read by a tag walker of our own (PS3.5 Sections 7 and 10),
 *     which is some fifty times faster, reads what pydicom reads, and has no recursion to overflow.
 *     DCMTK's part is behind codec.h.
 *  3. An absent attribute is not an error: dicom_find_…() returns false and leaves the output alone.
 *  4. Everything borrowed lives until the next dicom_read() or dicom_free().
 *  5. Pixel data is never read here: its place is kept, and dicom_read_bytes() fetches what is asked for.
 *  6. All lengths are checked against the bytes that are there; limits come from struct options. */
#ifndef NIFFLER_WORKER_DECODER_DICOM_DICOM_H
#define NIFFLER_WORKER_DECODER_DICOM_DICOM_H

#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"
#include "common/options.h"

#define DICOM_TAG(group, element) ((uint32_t)(group) << 16 | (uint32_t)(element))

struct dicom;

/* Where pixel data lies. */
struct dicom_pixels {
    enum { DICOM_PIXELS_NONE, DICOM_PIXELS_INTEGER, DICOM_PIXELS_FLOAT, DICOM_PIXELS_DOUBLE } kind;
    bool encapsulated; /* fragments: `offset` is that of the first item (the basic offset table)          */
    bool has_end;      /* of fragments: the sequence delimitation item stands behind them                 */
    char vr[2];
    uint64_t offset; /* of the value in the source: the file, or the inflated data set               */
    uint64_t length; /* of the value; when encapsulated, what is left of the source from `offset`. Never more
                        than what is there: `promised` holds the header's word                        */
    uint64_t promised;
};

struct dicom_syntax {
    char uid[65];      /* as in the file, trailing blanks and NULs removed; empty when absent */
    bool big_endian;   /* of the data set                                                     */
    bool implicit_vr;  /* of the data set as it really is                                     */
    bool deflated;     /* 1.2.840.10008.1.2.1.99                                              */
    bool guessed;      /* no meta header, or no transfer syntax in it                         */
    bool has_preamble; /* "DICM" at 128                                                       */
};

/* Return a new reader, reusable for any number of files; its buffers stay warm. dicom_free() accepts NULL. */
struct dicom *dicom_new(void);
void dicom_free(struct dicom *dcm);

/* Forget the file and give its buffers back. The code pages stay: they could not be loaded again. */
void dicom_shrink(struct dicom *dcm);

/* Read the header of the file behind `descriptor` (any readable, seekable descriptor; borrowed until the next
 * dicom_read()). Stops at nothing but the end: elements behind the pixel data are read too.
 *
 * A data set that ends in the middle is no failure: what stands before is kept and dicom_is_cut() is true.
 * Fails with ERROR_INPUT:
 *   category 1, CODE_NOT_DICOM          no DICOM structure (no "DICM", and the start is no data set either)
 *   category 4, CODE_LIMIT_ATTRIBUTES   more elements, levels or bytes than `options` allows
 *   category 1, CODE_MALFORMED          a deflated data set that does not inflate at all
 *   category 1, CODE_INPUT_IO           reading failed
 * After a failure but CODE_NOT_DICOM the elements read so far can still be used. */
MUST_CHECK bool dicom_read(struct dicom *dcm, int descriptor, const struct options *options,
                           struct error *err);

/* As dicom_read(), of a file in memory (borrowed likewise). For tests and fuzzing. */
MUST_CHECK bool dicom_read_memory(struct dicom *dcm, const uint8_t *bytes, size_t length,
                                  const struct options *options, struct error *err);

bool dicom_is_cut(const struct dicom *dcm);

/* Whether an element's length led out of the file, and the pixel data was found behind it nevertheless. Not
 * under compatibility. */
bool dicom_is_mended(const struct dicom *dcm);
const struct dicom_syntax *dicom_syntax(const struct dicom *dcm);
const struct dicom_pixels *dicom_pixels(const struct dicom *dcm);

/* The elements as wire_element lists (worker/wire.h), in file order, text in UTF-8 by SpecificCharacterSet of
 * the item they stand in (PS3.5 Section 6.1). Group 0002 is left out, as are group lengths, and private
 * elements where `options->public_headers_only`. Values of OB, OD, OF, OL, OV, OW and UN are cut at
 * options->max_value_bytes (0: never), other values at 4 times that many bytes, the worker cutting the rest
 * by characters. PixelData, FloatPixelData and DoubleFloatPixelData come as WIRE_VALUE_NOT_READ on every
 * level. */
void dicom_append_elements(struct dicom *dcm, const struct options *options, struct buffer *out);

/* Top-level values by tag. Numbers of US, SS, UL, SL, IS and DS are accepted where the VR is one of them or
 * UN; `index` is that of the value, from 0. Text is UTF-8 of the first value, padding removed, cut to `size`.
 */
bool dicom_find_u32(const struct dicom *dcm, uint32_t tag, size_t index, uint32_t *value);
bool dicom_find_text(struct dicom *dcm, uint32_t tag, char *text, size_t size);
bool dicom_has(const struct dicom *dcm, uint32_t tag);

/* Raw bytes of a top-level value, as in the file (its byte order: dicom_syntax()). Borrowed; NULL if absent.
 * `length` never exceeds what is there. For LUT data and offset tables. */
const uint8_t *dicom_find_bytes(struct dicom *dcm, uint32_t tag, size_t *length, char vr[2]);

/* A data set: the file's own, or one item of a sequence in it. Valid as what is borrowed. */
struct dicom_item {
    size_t first, end; /* places in the list of elements; end 0: to its end */
    uint32_t depth;
};
#define DICOM_TOP ((struct dicom_item){0, 0, 0})

/* The first item of a sequence, and the one behind an item. False: there is none. Taking all items of a
 * sequence one after the other looks at each element once. */
bool dicom_first_item(const struct dicom *dcm, struct dicom_item parent, uint32_t sequence,
                      struct dicom_item *item);
bool dicom_next_item(const struct dicom *dcm, struct dicom_item *item);

/* As the functions above, of one item. A double comes from any VR of numbers, DS and IS among them; one that
 * is no finite number is as good as absent. */
bool dicom_item_has(const struct dicom *dcm, struct dicom_item item, uint32_t tag);
bool dicom_item_double(const struct dicom *dcm, struct dicom_item item, uint32_t tag, size_t index,
                       double *value);
bool dicom_item_text(struct dicom *dcm, struct dicom_item item, uint32_t tag, char *text, size_t size);
const uint8_t *dicom_item_bytes(struct dicom *dcm, struct dicom_item item, uint32_t tag, size_t *length,
                                char vr[2]);

/* Copy `length` bytes of the source from `offset`. Fails with ERROR_INPUT: category 2, CODE_TOO_SHORT when
 * the source ends before; category 1, CODE_INPUT_IO. */
MUST_CHECK bool dicom_read_bytes(struct dicom *dcm, uint64_t offset, void *bytes, size_t length,
                                 struct error *err);

#endif
