/* scan_sort.h: the names of one folder, in byte order.
 *
 * Names go in one after the other and come out sorted, a folder as if a `/` stood behind its name. They lie
 * packed, with four bytes more for each. What exceeds `limit_bytes` is sorted in runs of that size, written
 * to an unlinked file, and merged while it is read. */
#ifndef NIFFLER_PRODUCER_SCAN_SORT_H
#define NIFFLER_PRODUCER_SCAN_SORT_H

#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

/* A name in a folder has at most 255 bytes on Linux, and more where FUSE shows NTFS; a line of --FilesFrom is
 * a whole path. */
#define SCAN_NAME_BYTES 8192u

struct scan_run; /* one sorted run on disk, being read */

/* Zeroed: empty, without limit and scratch. */
struct scan_names {
    struct buffer arena; /* each name, `/` if a folder, NUL */
    uint32_t *offsets;   /* into the arena, sorted by scan_names_sort() */
    size_t count;
    size_t capacity;
    size_t limit_bytes;
    const char *scratch; /* folder for the runs; borrowed */
    int file;            /* of the runs; 0: none yet */
    uint64_t file_bytes;
    struct scan_run *runs;
    size_t run_count;
    uint32_t *heap; /* runs by their next name, the first on top */
    size_t heap_count;
    size_t next; /* of the offsets */
};

void scan_names_init(struct scan_names *names, size_t limit_bytes, const char *scratch);
void scan_names_clear(struct scan_names *names);

/* Add a name of at most SCAN_NAME_BYTES. Fails with ERROR_FATAL: the runs cannot be written, or (without
 * scratch) the names exceed 2 GB. */
MUST_CHECK bool scan_names_add(struct scan_names *names, const char *name, bool is_folder, struct error *err);

/* Sort what has been added; no more may follow. Fails with ERROR_FATAL. */
MUST_CHECK bool scan_names_sort(struct scan_names *names, struct error *err);

/* Give the next name, with its `/` if it is a folder's; *name is NULL behind the last. Borrowed until the
 * next call. Fails with ERROR_FATAL: the runs cannot be read. */
MUST_CHECK bool scan_names_next(struct scan_names *names, const char **name, struct error *err);

/* Bytes of memory held. */
size_t scan_names_memory(const struct scan_names *names);

#endif
