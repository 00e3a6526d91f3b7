/* columns.h: an element list as a tree, each data set's columns in their order.
 *
 * Attributes in byte order of their keyword, then private elements in tag order; an element that occurs twice
 * counts once, the later one. Left out: pixel data, delimiters, elements without a keyword. */
#ifndef NIFFLER_WORKER_COLUMNS_H
#define NIFFLER_WORKER_COLUMNS_H

#include "common/dictionary.h"
#include "worker/wire.h"

#define COLUMNS_RANKS 8192    /* ranks of keywords have 13 bits */
#define COLUMNS_KNOWN_BITS 10 /* of places: several times what a file has */

struct columns_node {
    struct wire_element element;
    const struct dictionary_entry *entry; /* NULL: private, or no column */
    uint32_t end;                         /* index behind the last node below this one */
};

/* Zeroed is empty; memory is kept from list to list. */
struct columns {
    struct columns_node *nodes;
    size_t node_count, node_capacity;
    const struct dictionary_entry
        *known[1u << COLUMNS_KNOWN_BITS]; /* found lately, in whatever list, by a hash of the tag */
    uint32_t *order; /* a stack: indexes of nodes, each data set's columns while it is written */
    size_t order_count, order_capacity;
    uint32_t by_rank[COLUMNS_RANKS]; /* node of each set bit */
    uint64_t words[COLUMNS_RANKS / 64];
};

/* The columns of one data set: order[first] to order[last - 1]. */
struct columns_range {
    size_t first;
    size_t publics_end; /* from here on private elements, by tag */
    size_t last;
};

void columns_clear(struct columns *columns);

/* Read a checked list (wire_check_elements()). Nodes borrow its bytes. */
void columns_read(struct columns *columns, const uint8_t *elements, size_t length);

/* Put the columns of the data set in nodes[from] to nodes[end - 1] on top of the stack. */
struct columns_range columns_select(struct columns *columns, size_t from, size_t end, bool with_privates);

/* Take a selection, the last one made, off the stack. */
static inline void columns_release(struct columns *columns, const struct columns_range *range)
{
    columns->order_count = range->first;
}

/* The place in the order of the first private element of a selection whose tag is not below `tag`;
 * range->last when there is none. */
size_t columns_find_private(const struct columns *columns, const struct columns_range *range, uint32_t tag);

static inline bool columns_is_private(uint32_t tag)
{
    return (tag >> 16 & 1) != 0;
}

#endif
