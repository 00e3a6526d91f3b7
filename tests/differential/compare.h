/* compare.h: two listings of one file against each other; where they differ, of which class that is.
 *
 * A class is a predicate on what is compared at the place of the difference, with the reason why neither side
 * is wrong. It never skips a file: a class that `ends` the comparison stands where the two readers have
 * parted (a length that one believes and the other does not), behind which nothing can be compared. */
#ifndef NIFFLER_TESTS_DIFFERENTIAL_COMPARE_H
#define NIFFLER_TESTS_DIFFERENTIAL_COMPARE_H

#include "common/buffer.h"
#include "tests/differential/listing.h"
#include "tests/differential/walker.h"

enum difference_kind {
    DIFFERENT_SYNTAX,   /* the transfer syntax                              */
    DIFFERENT_MISSING,  /* an element of ours that DCMTK has not            */
    DIFFERENT_REPEATED, /* a second element of that tag in the same data set */
    DIFFERENT_EXTRA,    /* an element of DCMTK's that we have not           */
    DIFFERENT_KIND,     /* a sequence for one and a value for the other     */
    DIFFERENT_VR,
    DIFFERENT_LENGTH,
    DIFFERENT_ITEMS, /* the number of items or of fragments              */
    DIFFERENT_VALUE,
    DIFFERENT_TEXT,     /* the same bytes, converted differently            */
    DIFFERENT_NO_TEXT,  /* DCMTK does not convert, we do                    */
    DIFFERENT_MARKED,   /* we mark bytes that DCMTK converts                */
    DIFFERENT_FRAGMENT, /* length or bytes of one                           */
    DIFFERENT_FRAMES,   /* where a frame begins                             */
    DIFFERENT_OUTCOME,  /* all is the same, and one side reports a failure  */
    DIFFERENCE_KINDS
};

struct difference {
    enum difference_kind kind;
    const struct listed *ours, *theirs; /* NULL: has none */
    const struct listed *before;        /* ours: the element before in the file, of any depth; or NULL */
    const struct listed *after;         /* ours: the element behind it and what is in it; or NULL      */
    uint32_t their_unmatched;           /* entries of DCMTK's that nothing of ours has met yet         */
};

/* What a class's predicate sees. */
struct comparison {
    const struct walker *walker;
    const struct listing *ours, *theirs;
    const uint8_t *source; /* what the places in `ours` mean */
    uint64_t source_size;
    bool is_implicit, is_big_endian; /* of the data set, as the walker sees it */
};

struct difference_class {
    const char *name, *reason;
    bool ends;
    uint32_t kinds; /* bits, 1 << enum difference_kind */
    bool (*is_it)(const struct comparison *cmp, const struct difference *difference);
    unsigned per_mille; /* of the mutated files, at most */
    unsigned unmutated; /* of the samples and the corpus together, at most */
};

extern const struct difference_class difference_classes[];
extern const size_t difference_class_count;

/* Compare. Adds to counts[] (of each class) where they differ. False: a difference is in no class; what it is
 * stands in `complaint`. */
bool compare_listings(const struct walker *walker, const struct listing *ours, const struct listing *theirs,
                      unsigned *counts, struct buffer *complaint);

/* The two bytes where the VR stands in the header of an element of ours; false: its place is not known. */
bool compare_raw_vr(const struct comparison *cmp, const struct listed *ours, char vr[2]);

#endif
