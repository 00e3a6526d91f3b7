/* scan.h: walks a tree in one stable order, without holding it in memory.
 *
 * Order: byte-wise by relative path, as if all paths had been sorted: `a.dcm` before `a/b.dcm` before
 * `a0.dcm`. Memory is for the names of the folders on the way down; a folder with more than SCAN_SORT_BYTES
 * of names is sorted in runs on disk. At most SCAN_OPEN_FOLDERS descriptors are open, however deep the tree;
 * a path may be longer than PATH_MAX.
 *
 * Links are followed. One whose target contains the link itself is a circle: its folder is not entered a
 * second time, and that is no problem. Names that begin with a dot are left out, folders of that kind too, as
 * by a shell's `*`. */
#ifndef NIFFLER_PRODUCER_SCAN_H
#define NIFFLER_PRODUCER_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

#define SCAN_SORT_BYTES (24u << 20)
#define SCAN_OPEN_FOLDERS 64

struct scan_options {
    const char *root; /* DICOMHome */
    int depth; /* only files exactly so many folders below root, as Niffler's glob: 0 = in root itself; -1 =
                  the whole tree */
    const char *pattern; /* shell pattern for the file's own name; dot-names only when it begins with a dot.
                            The backslash has no meaning, as in Python's glob */
    bool links_anywhere; /* links may lead out of the root */
    const char *const *link_roots;                  /* NULL, or NULL-terminated */
    bool (*wants)(void *context, const char *path); /* asked for every file, in order, before the system is;
                            false: it is another's, and passed over. NULL: all are wanted */
    const char *scratch; /* folder for sort runs (an unlinked file), e.g. the output folder, as realpath()
                            gives it; NULL: sort in memory */
};

/* What the scan already knows to be unusable comes with a problem, size and time 0:
 *   CODE_INPUT_MISSING   a dangling link
 *   CODE_INPUT_SPECIAL   FIFO, socket, device
 *   CODE_OUTSIDE_ROOT    a link to a file or folder where links may not lead
 *   CODE_INPUT_DENIED    a folder that may not be read, or a link into one
 *   CODE_INPUT_IO        a folder that cannot be read in full
 * A *folder* with a problem has a path that ends in `/`, which puts it where its files would have been in the
 * order. It is reported whatever the pattern; a file only where the pattern matches its name. */
struct scan_file {
    const char *path; /* relative to root; borrowed until the callback returns */
    uint64_t size_bytes;
    int64_t mtime_ns;
    const char *problem_code; /* NULL or one of the above; static */
};

typedef bool scan_file_fn(void *context, const struct scan_file *file, struct error *err);

/* Call `each`, and options->wants, with `context` for every file in order. What cannot be read is reported as
 * a file with its problem, and the walk goes on. Fails with ERROR_FATAL: the root or a link root is absent,
 * not a folder, or unreadable; no descriptors left; the sort runs cannot be written; or as `each` fails. */
MUST_CHECK bool scan_tree(const struct scan_options *options, scan_file_fn *each, void *context,
                          struct error *err);

#endif
