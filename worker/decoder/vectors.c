#include "worker/decoder/vectors.h"

bool vectors_are_512(void)
{
    return VECTORS_512_ARE_THERE;
}
