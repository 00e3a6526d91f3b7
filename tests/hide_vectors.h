/* hide_vectors.h: the vectors_are_512() of a test, which takes the place of that in worker/decoder/vectors.c.
 * Included once in a program. */
#ifndef NIFFLER_TESTS_HIDE_VECTORS_H
#define NIFFLER_TESTS_HIDE_VECTORS_H

#include <stdbool.h>

#include "worker/decoder/vectors.h"

/* From when on this processor shall have no vectors of 64 bytes, whatever it is. */
static bool hide_vectors;

bool vectors_are_512(void)
{
    return !hide_vectors && VECTORS_512_ARE_THERE;
}
#endif
