/* fragments.h: where the frames of encapsulated pixel data lie (PS3.5 Annex A.4).
 *
 *     item: basic offset table (may be empty)     offsets of the frames' first fragments
 *     item: fragment 0  ┐ frame 0                 from the first fragment's item on
 *     item: fragment 1  ┘
 *     item: fragment 2  ─ frame 1
 *     sequence delimitation item (may be missing)
 *
 * Which fragments make a frame is settled in this order: one frame has them all; as many fragments as frames
 * have one each; then the extended offset table, the basic one, and last what the fragments hold: the places
 * where one looks like the start of a compressed image, or, without compression, the length of a frame.
 * Fragments of several images are taken apart where one image ends and another begins. A table counts only if
 * each entry points at a fragment; one that is off by the same number of bytes everywhere does as well. */
#ifndef NIFFLER_WORKER_DECODER_IMAGE_FRAGMENTS_H
#define NIFFLER_WORKER_DECODER_IMAGE_FRAGMENTS_H

#include "common/error.h"
#include "worker/decoder/codec/codec.h"
#include "worker/decoder/dicom/dicom.h"

struct fragment {
    uint64_t offset; /* of its bytes in the source */
    uint64_t length; /* of what is there           */
};

/* Zeroed: empty. */
struct fragments {
    struct fragment *items; /* in file order; some may be empty */
    uint32_t count;
    uint32_t capacity;
    uint32_t filled;       /* those that are not empty */
    uint64_t base;         /* of the offsets in the tables: where the first item after the table begins */
    uint64_t table_offset; /* of the basic offset table's entries */
    uint64_t table_length;
    bool has_end;          /* the sequence delimitation item is there */
    uint32_t *first;       /* of frame n: index of its first fragment; frames_there + 1 entries */
    uint32_t frame_count;  /* as the header says */
    uint32_t frames_there; /* 1 to frame_count: of the frames from the first on, those that begin somewhere */
};

/* What the header says. */
struct fragments_wanted {
    enum codec_family family; /* tells what the start of a compressed image looks like */
    uint32_t frame_count;
    uint64_t frame_bytes; /* of an uncompressed frame  */
    uint32_t limit;       /* the most fragments        */
    bool is_strict;       /* as pydicom: nothing is taken apart, and no table is shifted */
};

#define FRAGMENTS_START_BYTES 12u /* enough to recognise the start of a compressed image */

/* Whether an image of the family could begin with these bytes. False for families without a mark. */
bool fragments_look_like(const uint8_t *bytes, size_t length, enum codec_family family);

void fragments_clear(struct fragments *fragments);

/* Find the fragments behind dicom_pixels() and give them to the frames. Fewer frames than wanted are no
 * failure, if it is the end that is missing. Reads item headers, and images only to take them apart. Fails
 * with ERROR_INPUT: category 2, CODE_TOO_SHORT (no fragment holds a byte), CODE_MALFORMED (no telling which
 * belong to which frame); category 4, CODE_LIMIT_PIXELS. */
MUST_CHECK bool fragments_find(struct fragments *fragments, struct dicom *dcm,
                               const struct fragments_wanted *wanted, struct error *err);

/* Bytes of a frame's stream; the frame is below frames_there. */
uint64_t fragments_frame_length(const struct fragments *fragments, uint32_t frame_index);

/* Copy a frame's stream to `out`, which has fragments_frame_length() bytes. Fails as dicom_read_bytes(). */
MUST_CHECK bool fragments_read_frame(const struct fragments *fragments, struct dicom *dcm,
                                     uint32_t frame_index, uint8_t *out, struct error *err);

#endif
