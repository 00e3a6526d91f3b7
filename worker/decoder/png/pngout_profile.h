/* pngout_profile.h: an ICC profile (ISO 15076-1) as the chunk iCCP of a PNG.
 *
 * Checking and compressing it costs more than filtering a small picture, and all frames of a file have the
 * same one: it is made once, and pngout_write() copies it. */
#ifndef NIFFLER_WORKER_DECODER_PNG_PNGOUT_PROFILE_H
#define NIFFLER_WORKER_DECODER_PNG_PNGOUT_PROFILE_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

/* Zeroed: none. */
struct pngout_profile {
    uint8_t *chunk; /* its data: name, compression method, zlib stream; new */
    size_t length;
};

void pngout_profile_clear(struct pngout_profile *profile);

/* Take the profile of RGB pictures in `icc`; padding may follow it. Whatever *profile held is freed. Fails,
 * leaving it empty, with ERROR_INPUT: category 2, CODE_TOO_SHORT (it says to be longer) or CODE_MALFORMED (no
 * profile, not of RGB, of a version that is not 2 to 5, more than 4 MiB, or one that libpng refuses);
 * category 4, CODE_LIMIT_MEMORY. Bytes of it that lie in no tag become 0: they are no part of the profile. */
MUST_CHECK bool pngout_profile_set(struct pngout_profile *profile, const uint8_t *icc, size_t length,
                                   struct error *err);

#endif
