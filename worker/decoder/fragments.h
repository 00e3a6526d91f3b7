/* fragments.h: where the frames of encapsulated pixel data lie (PS3.5 Annex A.4).
 *
 *     item: basic offset table (may be empty)     offsets of the frames' first fragments
 *     item: fragment 0  ┐ frame 0                 from the first fragment's item on
 *     item: fragment 1  ┘
 *     item: fragment 2  ─ frame 1
 *     sequence delimitation item (may be missing)
 *
 * Which fragments make a frame is settled in this order: one frame has them all; as many fragments as frames
 * have one each; then the extended offset table, the basic one, and last the places where a fragment looks
 * like the start of a compressed image. A table counts only if each entry points at a fragment. */
#ifndef NIFFLER_WORKER_DECODER_FRAGMENTS_H
#define NIFFLER_WORKER_DECODER_FRAGMENTS_H

#include "common/error.h"
#include "worker/decoder/codec.h"
#include "worker/decoder/dicom.h"

struct fragment {
    uint64_t offset; /* of its bytes in the source */
    uint64_t length; /* of what is there           */
};

/* Zeroed: empty. */
struct fragments {
    struct fragment *items; /* in file order; empty ones left out */
    uint32_t count;
    uint32_t capacity;
    uint64_t base;         /* of the offsets in the tables: where the first item after the table begins */
    uint64_t table_offset; /* of the basic offset table's entries */
    uint64_t table_length;
    uint32_t *first; /* of frame n: index of its first fragment; frame_count + 1 entries */
    uint32_t frame_count;
};

void fragments_clear(struct fragments *fragments);

/* Find the fragments behind dicom_pixels() and give them to `frame_count` frames.
 *   family  tells what the start of a compressed image looks like
 *   limit   the most fragments
 * Reads item headers, no image. Fails with ERROR_INPUT: category 2, CODE_TOO_SHORT (fewer fragments than
 * frames), CODE_MALFORMED (no telling which belong to which frame); category 4, CODE_LIMIT_PIXELS. */
MUST_CHECK bool fragments_find(struct fragments *fragments, struct dicom *dcm, enum codec_family family,
                               uint32_t frame_count, uint32_t limit, struct error *err);

/* Bytes of a frame's stream. */
uint64_t fragments_frame_length(const struct fragments *fragments, uint32_t frame_index);

/* Copy a frame's stream to `out`, which has fragments_frame_length() bytes. Fails as dicom_read_bytes(). */
MUST_CHECK bool fragments_read_frame(const struct fragments *fragments, struct dicom *dcm,
                                     uint32_t frame_index, uint8_t *out, struct error *err);

#endif
