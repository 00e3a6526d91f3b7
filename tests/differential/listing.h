/* listing.h: what a reader found in a DICOM file, in a form that does not know which reader it was.
 *
 * A listing is one block of memory without pointers in it, so that the process of DCMTK can fill it for the
 * test (twin.h). Entries stand in preorder, each sequence before its items and each item before its elements.
 * Left out by both: group 0002 (but for the transfer syntax) and group lengths. */
#ifndef NIFFLER_TESTS_DIFFERENTIAL_LISTING_H
#define NIFFLER_TESTS_DIFFERENTIAL_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LISTING_ENTRIES_MAX 65536u
#define LISTING_FRAMES_MAX 64u
#define LISTING_HEAP_BYTES ((size_t)64 << 20)

enum listed_kind {
    LISTED_VALUE = 1,
    LISTED_SEQUENCE,
    LISTED_ITEM,
    LISTED_FRAGMENTS, /* encapsulated pixel data of the data set itself; LISTED_FRAGMENT entries follow */
    LISTED_FRAGMENT,  /* the first of them is the basic offset table */
};

/* Why DCMTK has not converted a text. */
enum listed_charset {
    LISTED_CHARSET_ABSENT = 1, /* no SpecificCharacterSet, or an empty one */
    LISTED_CHARSET_UNKNOWN,    /* one that DCMTK does not know             */
    LISTED_CHARSET_REFUSED,    /* bytes that the character set has not     */
};

/* Bytes in the heap. */
struct listed_bytes {
    uint64_t at, length;
};

struct listed {
    uint32_t kind;
    uint32_t tag;   /* of an item and a fragment: that of the element they are in */
    uint32_t depth; /* of items between it and the data set                       */
    char vr[2];
    bool is_undefined;         /* its length in the file                                         */
    bool is_bulk;              /* pixel data: compared by length and digest                      */
    bool has_text;             /* `text` is the value in UTF-8                                   */
    bool is_chosen;            /* the dictionary leaves the VR open                              */
    uint64_t promised;         /* length in the file's header                                    */
    struct listed_bytes value; /* little endian; of text: as in the file (DCMTK), as delivered (ours)  */
    struct listed_bytes text;
    struct listed_bytes charset_text; /* DCMTK's: the SpecificCharacterSet of texts that need one */
    uint64_t digest;                  /* of fragments and bulk                                          */
    uint64_t header;                  /* ours: place of the element's header in the source              */
    uint32_t charset; /* ours: struct charset, page and extensions; DCMTK's: enum listed_charset */
};

struct listing {
    bool is_read;                    /* the reader reports no failure */
    bool is_cut;                     /* ours: dicom_is_cut()          */
    bool is_mended;                  /* ours: dicom_is_mended()       */
    bool is_implicit, is_big_endian; /* ours: of the data set */
    bool is_full;                    /* more than fits: an error of the test */
    char reason[160];                /* why it failed */
    char syntax[65];
    uint32_t count;
    uint32_t frames;                          /* of which the start is known */
    uint32_t frame_start[LISTING_FRAMES_MAX]; /* number of the fragment, from 1: 0 is the table */
    uint64_t heap_used;
    struct listed entries[LISTING_ENTRIES_MAX];
    uint8_t heap[LISTING_HEAP_BYTES];
};

static inline void listing_begin(struct listing *listing)
{
    listing->is_read = listing->is_cut = listing->is_mended = listing->is_full = false;
    listing->reason[0] = listing->syntax[0] = '\0';
    listing->count = listing->frames = 0;
    listing->heap_used = 0;
}

/* Room in the heap; NULL when it is full. */
static inline uint8_t *listing_room(struct listing *listing, uint64_t length, struct listed_bytes *place)
{
    if (length > LISTING_HEAP_BYTES - listing->heap_used) {
        listing->is_full = true;
        return NULL;
    }
    place->at = listing->heap_used;
    place->length = length;
    listing->heap_used += length;
    return listing->heap + place->at;
}

/* A new entry, zeroed but for its kind and place; the last one again when there are too many. */
static inline struct listed *listing_add(struct listing *listing, enum listed_kind kind, uint32_t tag,
                                         uint32_t depth)
{
    if (listing->count == LISTING_ENTRIES_MAX) {
        listing->is_full = true;
        listing->count--;
    }
    struct listed *entry = &listing->entries[listing->count++];
    memset(entry, 0, sizeof *entry);
    entry->kind = kind;
    entry->tag = tag;
    entry->depth = depth;
    return entry;
}

/* FNV-1a. */
static inline uint64_t listing_digest(const uint8_t *bytes, uint64_t length)
{
    uint64_t digest = 14695981039346656037u;
    for (uint64_t i = 0; i < length; i++)
        digest = (digest ^ bytes[i]) * 1099511628211u;
    return digest;
}

/* What DCMTK makes of a file in memory. May crash, as DCMTK may. dicom_dcmtk.cc */
void dicom_dcmtk_list(const uint8_t *bytes, size_t length, struct listing *out);

/* Set DCMTK up: quiet, standard dictionary only, values as they are in the file. Once a process. */
void dicom_dcmtk_init(void);

/* Write a file's data set again in another transfer syntax that is not encapsulated, with sequences and items
 * of undefined or of defined length. Returns the length; 0 where DCMTK does not do it or `size` is too small.
 */
size_t dicom_dcmtk_transcode(const uint8_t *bytes, size_t length, const char *syntax, bool is_undefined,
                             uint8_t *out, size_t size);

#ifdef __cplusplus
}
#endif

#endif
