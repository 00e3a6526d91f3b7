/* alloc.h: the only two ways to get memory.
 *
 *   xmalloc family   small bookkeeping; when it fails the process ends with ALLOC_EXIT_STATUS
 *   alloc_pixels()   anything whose size comes from a file or a message: checked, limited,
 *                    and its failure is that file's failure
 *
 * Bare malloc, calloc, realloc and strdup are refused by tests/style. */
#ifndef NIFFLER_COMMON_ALLOC_H
#define NIFFLER_COMMON_ALLOC_H

#include <stddef.h>

#include "common/error.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ALLOC_EXIT_STATUS \
    3 /* something outside failed, as with all commands; of a decoder, WIRE_EXIT_MEMORY */

/* Return new memory; never NULL. xcalloc() and xrealloc_array() check the product. Free with free(). */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *memory, size_t size);
void *xrealloc_array(void *memory, size_t count, size_t size);
char *xstrdup(const char *text);
char *xmemdup_text(const void *bytes, size_t length); /* with a NUL appended */

/* Return new printf text; never NULL. */
char *xasprintf(const char *format, ...) PRINTF_LIKE(1, 2);

/* Set *memory to count * size new bytes, not zeroed; the caller frees them.
 *   limit  the most bytes this input may ask for (0: no limit but the address space)
 * Fails with ERROR_INPUT, category 4, CODE_LIMIT_MEMORY when the product overflows, exceeds the limit,
 * or is not to be had; *memory is NULL then. */
MUST_CHECK bool alloc_pixels(void **memory, size_t count, size_t size, size_t limit, struct error *err);

#ifdef __cplusplus
}
#endif
#endif
