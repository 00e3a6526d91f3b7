#include "worker/columns.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/utf8.h"
#include "worker/value_text.h"

/* Elements come in file order, columns leave in keyword order. A keyword's place among all keywords (its
 * rank) is a small integer, so a data set is put in order by setting one bit per element and reading the bits
 * again: no comparison, no allocation, and an element that occurs twice counts once, the later one, as in
 * pydicom's dict. */
#define RANK_WORDS (COLUMNS_RANKS / 64)

/* Below so many elements (an item's usual size) insertion is cheaper than reading all words. */
#define FEW_ELEMENTS 24

void columns_clear(struct columns *columns)
{
    if (columns == NULL)
        return;
    free(columns->nodes);
    free(columns->order);
    *columns = (struct columns){0};
}

/* ---- the list as nodes ---- */

static bool is_vr(const struct wire_element *element, const char *vr)
{
    return element->vr[0] == vr[0] && element->vr[1] == vr[1];
}

/* Whether an element with a keyword becomes a column: no delimiters, and no pixel data. */
static bool is_column(const struct wire_element *element)
{
    return element->tag >> 16 != 0xfffe && element->tag != 0x7fe00010 &&
           (element->flags & WIRE_VALUE_NOT_READ) == 0;
}

/* A public attribute sent as UN has the VR that the dictionary knows (PS3.5 6.2.2 note 3); pydicom does the
 * same, up to the length that an explicit VR can have. */
static void resolve_unknown_vr(struct wire_element *element, const struct dictionary_entry *entry)
{
    if (!is_vr(element, "UN") || element->full_length >= 0xffff ||
        (entry->vr[0] == 'S' && entry->vr[1] == 'Q'))
        return;
    enum value_kind kind = value_text_kind(entry->vr);
    bool is_numeric = kind == VALUE_NUMBER || kind == VALUE_TAG;
    if (!is_numeric && !utf8_is_valid(element->bytes, element->length))
        return;
    memcpy(element->vr, entry->vr, 2);
}

/* Most files have the same elements: what was found lately is looked at first. */
static const struct dictionary_entry *find_entry(struct columns *columns, uint32_t tag)
{
    const struct dictionary_entry **known = &columns->known[tag * 2654435761u >> (32 - COLUMNS_KNOWN_BITS)];
    if (*known != NULL && (*known)->tag == tag)
        return *known;
    const struct dictionary_entry *entry = dictionary_find(tag);
    if (entry != NULL)
        *known = entry;
    return entry;
}

static void add_node(struct columns *columns, const struct wire_element *element)
{
    if (columns->node_count == columns->node_capacity) {
        columns->node_capacity = columns->node_capacity == 0 ? 512 : columns->node_capacity * 2;
        columns->nodes = xrealloc_array(columns->nodes, columns->node_capacity, sizeof *columns->nodes);
    }
    struct columns_node *node = &columns->nodes[columns->node_count++];
    *node = (struct columns_node){*element, NULL, (uint32_t)columns->node_count};
    if (element->kind == WIRE_ITEM || columns_is_private(element->tag))
        return;
    const struct dictionary_entry *entry = find_entry(columns, element->tag);
    if (entry == NULL || !is_column(element))
        return;
    node->entry = entry;
    if (element->kind == WIRE_VALUE)
        resolve_unknown_vr(&node->element, entry);
}

static void push(struct columns *columns, uint32_t index)
{
    if (columns->order_count == columns->order_capacity) {
        columns->order_capacity = columns->order_capacity == 0 ? 512 : columns->order_capacity * 2;
        columns->order = xrealloc_array(columns->order, columns->order_capacity, sizeof *columns->order);
    }
    columns->order[columns->order_count++] = index;
}

/* Whether the node that comes next stands outside of an open sequence or item. */
static bool is_closed_by(const struct wire_element *open, const struct wire_element *next)
{
    if (next->depth != open->depth)
        return next->depth < open->depth;
    return open->kind == WIRE_ITEM || next->kind != WIRE_ITEM;
}

void columns_read(struct columns *columns, const uint8_t *elements, size_t length)
{
    struct wire_element element;
    size_t at = 0;
    columns->node_count = columns->order_count = 0;
    while (wire_next_element(elements, length, &at, &element)) {
        while (columns->order_count > 0) { /* here a stack of what is open */
            struct columns_node *open = &columns->nodes[columns->order[columns->order_count - 1]];
            if (!is_closed_by(&open->element, &element))
                break;
            open->end = (uint32_t)columns->node_count;
            columns->order_count--;
        }
        add_node(columns, &element);
        if (element.kind != WIRE_VALUE)
            push(columns, (uint32_t)columns->node_count - 1);
    }
    while (columns->order_count > 0)
        columns->nodes[columns->order[--columns->order_count]].end = (uint32_t)columns->node_count;
}

/* ---- one data set's columns in order ---- */

/* Put a node behind those of lower rank; the same rank again replaces. */
static void insert_by_rank(struct columns *columns, size_t first, uint32_t index)
{
    unsigned rank = columns->nodes[index].entry->rank;
    size_t place = columns->order_count;
    while (place > first && columns->nodes[columns->order[place - 1]].entry->rank > rank)
        place--;
    if (place > first && columns->nodes[columns->order[place - 1]].entry->rank == rank) {
        columns->order[place - 1] = index;
        return;
    }
    push(columns, index);
    memmove(columns->order + place + 1, columns->order + place,
            (columns->order_count - 1 - place) * sizeof *columns->order);
    columns->order[place] = index;
}

static void push_set_bits(struct columns *columns)
{
    for (size_t word = 0; word < RANK_WORDS; word++) {
        for (uint64_t bits = columns->words[word]; bits != 0; bits &= bits - 1)
            push(columns, columns->by_rank[word * 64 + (size_t)__builtin_ctzll(bits)]);
        columns->words[word] = 0;
    }
}

static int compare_tags(const void *left, const void *right, void *nodes)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    uint32_t tag_a = ((const struct columns_node *)nodes)[a].element.tag;
    uint32_t tag_b = ((const struct columns_node *)nodes)[b].element.tag;
    if (tag_a != tag_b)
        return tag_a < tag_b ? -1 : 1;
    return a < b ? -1 : a > b;
}

/* Private elements are nearly always in tag order already. */
static void push_privates(struct columns *columns, size_t from, size_t end)
{
    size_t first = columns->order_count, kept = first;
    bool is_sorted = true;
    for (size_t i = from; i < end; i = columns->nodes[i].end) {
        uint32_t tag = columns->nodes[i].element.tag;
        if (columns->nodes[i].element.kind == WIRE_ITEM || !columns_is_private(tag))
            continue;
        if (columns->order_count > first &&
            columns->nodes[columns->order[columns->order_count - 1]].element.tag >= tag)
            is_sorted = false;
        push(columns, (uint32_t)i);
    }
    if (is_sorted)
        return;
    qsort_r(columns->order + first, columns->order_count - first, sizeof *columns->order, compare_tags,
            columns->nodes);
    for (size_t i = first; i < columns->order_count; i++) {
        bool is_last = i + 1 == columns->order_count || columns->nodes[columns->order[i]].element.tag !=
                                                            columns->nodes[columns->order[i + 1]].element.tag;
        if (is_last)
            columns->order[kept++] = columns->order[i];
    }
    columns->order_count = kept;
}

struct columns_range columns_select(struct columns *columns, size_t from, size_t end, bool with_privates)
{
    struct columns_range range = {.first = columns->order_count};
    bool is_small = end - from <= FEW_ELEMENTS;

    for (size_t i = from; i < end; i = columns->nodes[i].end) {
        const struct columns_node *node = &columns->nodes[i];
        if (node->entry == NULL)
            continue;
        unsigned rank = node->entry->rank;
        if (is_small) {
            insert_by_rank(columns, range.first, (uint32_t)i);
        } else {
            columns->words[rank / 64] |= UINT64_C(1) << rank % 64;
            columns->by_rank[rank] = (uint32_t)i;
        }
    }
    if (!is_small)
        push_set_bits(columns);
    range.publics_end = columns->order_count;
    if (with_privates)
        push_privates(columns, from, end);
    range.last = columns->order_count;
    return range;
}

size_t columns_find_private(const struct columns *columns, const struct columns_range *range, uint32_t tag)
{
    size_t low = range->publics_end, high = range->last;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (columns->nodes[columns->order[middle]].element.tag < tag)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
