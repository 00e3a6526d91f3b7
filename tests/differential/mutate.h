/* mutate.h: valid DICOM files, changed where it matters: lengths, VRs, tags, order, nesting, delimiters. */
#ifndef NIFFLER_TESTS_DIFFERENTIAL_MUTATE_H
#define NIFFLER_TESTS_DIFFERENTIAL_MUTATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

/* A header in a data set: of an element, an item or a delimiter. Places count from the start of the bytes. */
struct spot {
    size_t at, value, end; /* header, value, behind the value; of an undefined length `end` is `value` */
    size_t length_at;
    unsigned length_bytes; /* 2 or 4 */
    uint32_t tag;
    char vr[2]; /* NUL: none stands there */
};

/* A file to change. Of a deflated one `bytes` is the meta header and the data set behind it, inflated. */
struct seed {
    uint8_t *bytes;
    size_t length;
    size_t data_set; /* where it begins */
    bool big_endian, implicit_vr, deflated;
    struct spot *spots;
    size_t spot_count;
};

struct dice {
    uint64_t state; /* not 0 */
};

/* A number below `below`, which is not 0. The same everywhere. */
uint64_t dice_roll(struct dice *dice, uint64_t below);

/* Make a seed of a file (copied): false where its structure is not that of a valid file. seed_make() cuts the
 * pixel data down to a few bytes, and refuses what is longer than `most` nevertheless. */
bool seed_read(struct seed *seed, const uint8_t *bytes, size_t length);
bool seed_make(struct seed *seed, const uint8_t *bytes, size_t length, size_t most);
void seed_clear(struct seed *seed);

enum mutation {
    MUTATE_LENGTH,
    MUTATE_VR,
    MUTATE_TAG,
    MUTATE_SWAP,
    MUTATE_CUT,
    MUTATE_VALUE,
    MUTATE_DUPLICATE,
    MUTATE_UNDEFINED,
    MUTATE_DROP,
    MUTATE_NEST,
    MUTATE_INSERT,
    MUTATE_CHARSET,
    MUTATE_TEXT,
    MUTATE_BYTE,
    MUTATIONS
};

/* A changed copy of the seed into `out` (emptied before), as a file: deflated where the seed is. Returns what
 * was done. */
enum mutation seed_mutate(const struct seed *seed, struct dice *dice, struct buffer *out);

/* A copy of the seed into `out` (emptied before) in which `length` bytes stand in place of those from `at` to
 * `end`, as a file. */
void seed_splice(const struct seed *seed, size_t at, size_t end, const void *bytes, size_t length,
                 struct buffer *out);

#endif
