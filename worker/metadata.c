#include "worker/metadata.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/dictionary.h"
#include "common/utf8.h"
#include "worker/value_text.h"

/* Elements come in file order, columns leave in keyword order. A keyword's place among all keywords (its
 * rank) is a small integer, so a data set is put in order by setting one bit per element and reading the bits
 * again: no comparison, no allocation, and an element that occurs twice counts once, the later one, as in
 * pydicom's dict. */
#define RANKS 8192 /* ranks have 13 bits */
#define RANK_WORDS (RANKS / 64)

/* Below so many elements (an item's usual size) insertion is cheaper than reading all words. */
#define FEW_ELEMENTS 24

/* An item with more columns than this becomes one column, the text of Python's list. */
#define NIFFLER_ITEM_COLUMNS 2000

/* Deeper than any decoder is allowed to send; bounds our own recursion whatever max_nesting says. */
#define DEPTH_MAX 1024

/* No creator is longer (LO has at most 64 characters); a longer one is not used as a name. */
#define CREATOR_BYTES_MAX 256

struct node {
    struct wire_element element;
    const struct dictionary_entry *entry; /* NULL: private, or no column */
    uint32_t end;                         /* index behind the last node below this one */
};

struct metadata {
    struct node *nodes;
    size_t node_count, node_capacity;
    uint32_t *order; /* a stack: each data set's columns while it is written */
    size_t order_count, order_capacity;
    uint32_t by_rank[RANKS]; /* node of each set bit */
    uint64_t words[RANK_WORDS];
    struct buffer name; /* prefix, and the column's name behind it */
    struct buffer value;
    struct buffer identity;
};

/* What stays the same during one flatten. */
struct job {
    struct metadata *md;
    const struct options *options;
    struct record *rec;
    struct buffer *tuples; /* NULL: cells go to `rec`; else "('name', value), …" goes here */
};

struct metadata *metadata_new(void)
{
    return xcalloc(1, sizeof(struct metadata));
}

void metadata_free(struct metadata *md)
{
    if (md == NULL)
        return;
    free(md->nodes);
    free(md->order);
    buffer_clear(&md->name);
    buffer_clear(&md->value);
    buffer_clear(&md->identity);
    free(md);
}

/* ---- the list as nodes ---- */

static bool is_private(uint32_t tag)
{
    return (tag >> 16 & 1) != 0;
}

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

static void add_node(struct metadata *md, const struct wire_element *element)
{
    if (md->node_count == md->node_capacity) {
        md->node_capacity = md->node_capacity == 0 ? 512 : md->node_capacity * 2;
        md->nodes = xrealloc_array(md->nodes, md->node_capacity, sizeof *md->nodes);
    }
    struct node *node = &md->nodes[md->node_count++];
    *node = (struct node){*element, NULL, (uint32_t)md->node_count};
    if (element->kind == WIRE_ITEM || is_private(element->tag))
        return;
    const struct dictionary_entry *entry = dictionary_find(element->tag);
    if (entry == NULL || !is_column(element))
        return;
    node->entry = entry;
    if (element->kind == WIRE_VALUE)
        resolve_unknown_vr(&node->element, entry);
}

static void push(struct metadata *md, uint32_t index)
{
    if (md->order_count == md->order_capacity) {
        md->order_capacity = md->order_capacity == 0 ? 512 : md->order_capacity * 2;
        md->order = xrealloc_array(md->order, md->order_capacity, sizeof *md->order);
    }
    md->order[md->order_count++] = index;
}

/* Whether the node that comes next stands outside of an open sequence or item. */
static bool is_closed_by(const struct wire_element *open, const struct wire_element *next)
{
    if (next->depth != open->depth)
        return next->depth < open->depth;
    return open->kind == WIRE_ITEM || next->kind != WIRE_ITEM;
}

static void read_nodes(struct metadata *md, const uint8_t *elements, size_t length)
{
    struct wire_element element;
    size_t at = 0;
    md->node_count = md->order_count = 0;
    while (wire_next_element(elements, length, &at, &element)) {
        while (md->order_count > 0) { /* here a stack of what is open */
            struct node *open = &md->nodes[md->order[md->order_count - 1]];
            if (!is_closed_by(&open->element, &element))
                break;
            open->end = (uint32_t)md->node_count;
            md->order_count--;
        }
        add_node(md, &element);
        if (element.kind != WIRE_VALUE)
            push(md, (uint32_t)md->node_count - 1);
    }
    while (md->order_count > 0)
        md->nodes[md->order[--md->order_count]].end = (uint32_t)md->node_count;
}

/* ---- one data set's columns in order ---- */

/* The columns of a data set: md->order[first] to [last - 1]. */
struct range {
    size_t first;
    size_t publics_end; /* from here on private elements, by tag */
    size_t last;
};

/* Put a node behind those of lower rank; the same rank again replaces. */
static void insert_by_rank(struct metadata *md, size_t first, uint32_t index)
{
    unsigned rank = md->nodes[index].entry->rank;
    size_t place = md->order_count;
    while (place > first && md->nodes[md->order[place - 1]].entry->rank > rank)
        place--;
    if (place > first && md->nodes[md->order[place - 1]].entry->rank == rank) {
        md->order[place - 1] = index;
        return;
    }
    push(md, index);
    memmove(md->order + place + 1, md->order + place, (md->order_count - 1 - place) * sizeof *md->order);
    md->order[place] = index;
}

static void push_set_bits(struct metadata *md)
{
    for (size_t word = 0; word < RANK_WORDS; word++) {
        for (uint64_t bits = md->words[word]; bits != 0; bits &= bits - 1)
            push(md, md->by_rank[word * 64 + (size_t)__builtin_ctzll(bits)]);
        md->words[word] = 0;
    }
}

static int compare_tags(const void *left, const void *right, void *nodes)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    uint32_t tag_a = ((const struct node *)nodes)[a].element.tag;
    uint32_t tag_b = ((const struct node *)nodes)[b].element.tag;
    if (tag_a != tag_b)
        return tag_a < tag_b ? -1 : 1;
    return a < b ? -1 : a > b;
}

/* Private elements are nearly always in tag order already. */
static void push_privates(struct metadata *md, size_t from, size_t end)
{
    size_t first = md->order_count, kept = first;
    bool is_sorted = true;
    for (size_t i = from; i < end; i = md->nodes[i].end) {
        uint32_t tag = md->nodes[i].element.tag;
        if (md->nodes[i].element.kind == WIRE_ITEM || !is_private(tag))
            continue;
        if (md->order_count > first && md->nodes[md->order[md->order_count - 1]].element.tag >= tag)
            is_sorted = false;
        push(md, (uint32_t)i);
    }
    if (is_sorted)
        return;
    qsort_r(md->order + first, md->order_count - first, sizeof *md->order, compare_tags, md->nodes);
    for (size_t i = first; i < md->order_count; i++) {
        bool is_last = i + 1 == md->order_count ||
                       md->nodes[md->order[i]].element.tag != md->nodes[md->order[i + 1]].element.tag;
        if (is_last)
            md->order[kept++] = md->order[i];
    }
    md->order_count = kept;
}

/* Lay the columns of the data set in nodes[from] to [end - 1] on top of the stack; the caller takes them off.
 */
static struct range select_columns(const struct job *job, size_t from, size_t end)
{
    struct metadata *md = job->md;
    struct range range = {.first = md->order_count};
    bool is_small = end - from <= FEW_ELEMENTS;

    for (size_t i = from; i < end; i = md->nodes[i].end) {
        const struct node *node = &md->nodes[i];
        if (node->entry == NULL)
            continue;
        unsigned rank = node->entry->rank;
        if (is_small) {
            insert_by_rank(md, range.first, (uint32_t)i);
        } else {
            md->words[rank / 64] |= UINT64_C(1) << rank % 64;
            md->by_rank[rank] = (uint32_t)i;
        }
    }
    if (!is_small)
        push_set_bits(md);
    range.publics_end = md->order_count;
    if (!job->options->public_headers_only)
        push_privates(md, from, end);
    range.last = md->order_count;
    return range;
}

/* ---- names ---- */

/* The creator of a private element, from the elements of its data set in tag order; no text where there is
 * none. */
static struct slice find_creator(const struct metadata *md, const struct range *range, uint32_t tag,
                                 uint32_t *block)
{
    struct slice creator = {NULL, 0};
    uint32_t wanted = (tag & 0xffff0000) | (tag >> 8 & 0xff);
    size_t low = range->publics_end, high = range->last;
    *block = wanted;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct wire_element *element = &md->nodes[md->order[middle]].element;
        if (element->tag < wanted) {
            low = middle + 1;
        } else if (element->tag > wanted) {
            high = middle;
        } else {
            if (element->kind == WIRE_VALUE && utf8_is_valid(element->bytes, element->length))
                creator = python_strip(value_text_plain(element));
            break;
        }
    }
    bool is_usable = creator.length > 0 && creator.length <= CREATOR_BYTES_MAX;
    for (size_t i = 0; is_usable && i < creator.length; i++)
        is_usable = (unsigned char)creator.text[i] >= 0x20 && creator.text[i] != 0x7f;
    return is_usable ? creator : (struct slice){NULL, 0};
}

/* Whether a lower block of the group has the same creator, so that (gggg,creator,ee) names two elements. */
static bool is_second_block(const struct metadata *md, const struct range *range, struct slice creator,
                            uint32_t block)
{
    for (uint32_t other = (block & 0xffff0000) | 0x10; other < block; other++) {
        uint32_t ignored;
        struct slice text = find_creator(md, range, (other & 0xffff0000) | (other & 0xff) << 8, &ignored);
        if (text.length == creator.length && text.length > 0 &&
            memcmp(text.text, creator.text, text.length) == 0)
            return true;
    }
    return false;
}

/* "(0019,ACME 1.0,0A)"; the whole element number where that is not unique: "(0019,,100A)". */
static void append_private_name(struct metadata *md, const struct range *range, uint32_t tag)
{
    uint32_t block;
    struct slice creator = find_creator(md, range, tag, &block);
    bool is_unique = creator.length > 0 && !is_second_block(md, range, creator, block);
    buffer_append_format(&md->name, "(%04X,", (unsigned)(tag >> 16));
    buffer_append(&md->name, creator.text, creator.length);
    buffer_append_format(&md->name, is_unique ? ",%02X)" : ",%04X)",
                         (unsigned)(tag & (is_unique ? 0xff : 0xffff)));
}

/* A creator is part of its elements' names and no column itself. */
static bool is_creator(uint32_t tag)
{
    return is_private(tag) && (tag & 0xffff) >= 0x10 && (tag & 0xffff) <= 0xff;
}

static void append_name(struct metadata *md, const struct range *range, const struct node *node)
{
    if (node->entry != NULL)
        buffer_append_text(&md->name, node->entry->keyword);
    else
        append_private_name(md, range, node->element.tag);
}

/* ---- cells ---- */

/* The column named in md->name with the text of md->value. */
static void emit(const struct job *job, const struct wire_element *element)
{
    struct metadata *md = job->md;
    if (job->tuples == NULL) {
        record_add_cell(job->rec, md->name.data, md->name.length, md->value.data, md->value.length);
        return;
    }
    if (job->tuples->length > 1)
        buffer_append_text(job->tuples, ", ");
    buffer_append_char(job->tuples, '(');
    python_append_text_repr(job->tuples, (struct slice){md->name.data, md->name.length});
    buffer_append_text(job->tuples, ", ");
    if (element != NULL)
        value_text_append_repr(job->tuples, element);
    else
        buffer_append(job->tuples, md->value.data, md->value.length);
    buffer_append_char(job->tuples, ')');
}

static void emit_value(const struct job *job, const struct wire_element *element)
{
    buffer_truncate(&job->md->value, 0);
    if (job->tuples == NULL)
        value_text_append(&job->md->value, element, job->options->value_format,
                          job->options->max_value_bytes);
    emit(job, element);
}

static void emit_empty_sequence(const struct job *job)
{
    buffer_truncate(&job->md->value, 0);
    if (job->options->value_format == VALUE_FORMAT_NIFFLER)
        buffer_append_text(&job->md->value, "[]");
    emit(job, NULL);
}

/* pydicom tells two empty sequences apart: the one of undefined length has no items, and Niffler no column
 * for it. */
static bool is_missing(const struct job *job, const struct wire_element *element)
{
    if (!job->options->compatibility_niffler)
        return false;
    if (element->kind == WIRE_SEQUENCE)
        return (element->flags & WIRE_VALUE_UNDEFINED) != 0;
    return element->depth == 0 && value_text_is_dropped(element);
}

static size_t count_columns(const struct job *job, size_t from, size_t end);

/* Columns of one item as Niffler counts them: one, where they would be too many. */
static size_t count_item(const struct job *job, size_t item)
{
    size_t count = count_columns(job, item + 1, job->md->nodes[item].end);
    return count > NIFFLER_ITEM_COLUMNS ? 1 : count;
}

static size_t count_columns(const struct job *job, size_t from, size_t end)
{
    const struct metadata *md = job->md;
    struct range range = select_columns(job, from, end);
    size_t count = 0;
    for (size_t i = range.first; i < range.last; i++) {
        size_t index = md->order[i];
        size_t item = index + 1, last = md->nodes[index].end;
        if (is_creator(md->nodes[index].element.tag))
            continue;
        if (item == last)
            count += is_missing(job, &md->nodes[index].element) ? 0 : 1;
        else if (md->nodes[index].element.depth < DEPTH_MAX)
            for (; item < last; item = md->nodes[item].end)
                count += count_item(job, item);
    }
    job->md->order_count = range.first;
    return count;
}

static void flatten(const struct job *job, size_t from, size_t end);

/* The whole item as one column: str() of the list of its tuples. */
static void emit_condensed(const struct job *job, size_t from, size_t end)
{
    struct metadata *md = job->md;
    struct buffer list = {0};
    struct job inner = *job;

    inner.tuples = &list;
    buffer_append_char(&list, '[');
    size_t name_length = md->name.length;
    buffer_append_char(&md->name, '_');
    flatten(&inner, from, end);
    buffer_truncate(&md->name, name_length);
    buffer_append_char(&list, ']');
    buffer_truncate(&md->value, 0);
    if (job->tuples != NULL)
        python_append_text_repr(&md->value, (struct slice){list.data, list.length});
    else
        buffer_append(&md->value, list.data, list.length);
    buffer_clear(&list);
    emit(job, NULL);
}

static void flatten_items(const struct job *job, const struct range *range, size_t index)
{
    struct metadata *md = job->md;
    size_t prefix = md->name.length;
    size_t last = md->nodes[index].end;
    uint64_t number = 0;

    for (size_t item = index + 1; item < last; item = md->nodes[item].end, number++) {
        size_t end = md->nodes[item].end;
        buffer_append_text(&md->name, prefix > 0 ? "_" : "");
        buffer_append_u64(&md->name, number);
        buffer_append_char(&md->name, '_');
        append_name(md, range, &md->nodes[index]);
        bool is_condensed = job->options->compatibility_niffler && end - item > NIFFLER_ITEM_COLUMNS &&
                            count_columns(job, item + 1, end) > NIFFLER_ITEM_COLUMNS;
        if (is_condensed) {
            emit_condensed(job, item + 1, end);
        } else {
            buffer_append_char(&md->name, '_');
            flatten(job, item + 1, end);
        }
        buffer_truncate(&md->name, prefix);
    }
}

/* Write the data set in nodes[from] to [end - 1]; md->name holds the prefix with its underscore. */
static void flatten(const struct job *job, size_t from, size_t end)
{
    struct metadata *md = job->md;
    struct range range = select_columns(job, from, end);
    size_t prefix = md->name.length;

    for (size_t i = range.first; i < range.last; i++) {
        size_t index = md->order[i];
        const struct wire_element *element = &md->nodes[index].element;
        bool has_items = md->nodes[index].end > index + 1;
        if (is_creator(element->tag) || (!has_items && is_missing(job, element)))
            continue;
        if (has_items) {
            if (element->depth < DEPTH_MAX)
                flatten_items(job, &range, index);
            continue;
        }
        append_name(md, &range, &md->nodes[index]);
        if (element->kind == WIRE_SEQUENCE || (is_vr(element, "SQ") && element->length == 0))
            emit_empty_sequence(job);
        else
            emit_value(job, element);
        buffer_truncate(&md->name, prefix);
    }
    md->order_count = range.first;
}

/* ---- identity ---- */

struct identity_offsets {
    size_t patient_id, study, series, instance, modality;
};

/* Keep a copy of a top-level value in md->identity; returns its offset plus one. */
static size_t keep_text(struct metadata *md, const struct wire_element *element)
{
    size_t offset = md->identity.length;
    enum value_kind kind = value_text_kind(element->vr);
    if (kind == VALUE_TEXT || kind == VALUE_DECIMAL || kind == VALUE_INTEGER) {
        struct slice text = value_text_plain(element);
        buffer_append(&md->identity, text.text, text.length);
    } else {
        value_text_append(&md->identity, element, VALUE_FORMAT_NIFFLER, 0);
    }
    buffer_append_char(&md->identity, '\0');
    return offset + 1;
}

static const char *text_at(const struct metadata *md, size_t offset_plus_one)
{
    return offset_plus_one == 0 ? NULL : md->identity.data + offset_plus_one - 1;
}

static void find_identity(struct metadata *md, struct metadata_identity *identity)
{
    struct identity_offsets at = {0};
    buffer_truncate(&md->identity, 0);
    *identity = (struct metadata_identity){0};
    for (size_t i = 0; i < md->node_count; i = md->nodes[i].end) {
        const struct wire_element *element = &md->nodes[i].element;
        if (element->kind != WIRE_VALUE)
            continue;
        switch (element->tag) {
        case 0x00080018:
            at.instance = keep_text(md, element);
            break;
        case 0x00080060:
            at.modality = keep_text(md, element);
            break;
        case 0x00100020:
            at.patient_id = keep_text(md, element);
            identity->patient_id_is_multiple = strchr(text_at(md, at.patient_id), '\\') != NULL;
            break;
        case 0x0020000d:
            at.study = keep_text(md, element);
            break;
        case 0x0020000e:
            at.series = keep_text(md, element);
            break;
        default:
            break;
        }
    }
    identity->patient_id = text_at(md, at.patient_id);
    identity->study_instance_uid = text_at(md, at.study);
    identity->series_instance_uid = text_at(md, at.series);
    identity->sop_instance_uid = text_at(md, at.instance);
    identity->modality = text_at(md, at.modality);
}

void metadata_flatten(struct metadata *md, const uint8_t *elements, size_t length,
                      const struct options *options, struct record *rec, struct metadata_identity *identity)
{
    struct job job = {.md = md, .options = options, .rec = rec};
    size_t before = rec->cell_count;

    read_nodes(md, elements, length);
    buffer_truncate(&md->name, 0);
    flatten(&job, 0, md->node_count);
    find_identity(md, identity);
    identity->attribute_count = rec->cell_count - before;
}
