/* Both decode the same bytes; where ours declines, OpenJPEG is not asked. */
#include "tests/unit/jpeg2000_twin.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

static bool is_same(const struct codec_samples *a, const struct codec_samples *b)
{
    return a->rows == b->rows && a->columns == b->columns && a->samples == b->samples &&
           a->bytes == b->bytes && a->precision == b->precision && a->is_signed == b->is_signed &&
           a->is_float == b->is_float && a->colour == b->colour && a->warnings == b->warnings &&
           a->ends_early == b->ends_early && a->missing == b->missing && a->overruled == b->overruled &&
           memcmp(a->data, b->data, codec_samples_count(a) * a->bytes) == 0;
}

enum twin jpeg2000_twin(const uint8_t *stream, size_t length, const struct codec_frame *frame,
                        struct codec_samples *out)
{
    struct codec_samples theirs = {0};
    struct error err;
    enum twin twin = TWIN_DECLINED;
    uint8_t *copy = xmalloc(length > 0 ? length : 1);
    memcpy(copy, stream, length);
    if (codec_jpeg2000_own(copy, length, frame, out))
        twin = !codec_jpeg2000_openjpeg(copy, length, frame, &theirs, &err) ? TWIN_REFUSED
               : is_same(out, &theirs)                                      ? TWIN_EQUAL
                                                                            : TWIN_DIFFERENT;
    free(copy);
    codec_samples_clear(&theirs);
    return twin;
}
