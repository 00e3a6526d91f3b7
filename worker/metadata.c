#include "worker/metadata.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/utf8.h"
#include "worker/columns.h"
#include "worker/value_text.h"

/* An item with more columns than this becomes one column, the text of Python's list. */
#define NIFFLER_ITEM_COLUMNS 2000

/* Deeper than any decoder is allowed to send; bounds our own recursion whatever max_nesting says. */
#define DEPTH_MAX 1024

/* No creator is longer (LO has at most 64 characters); a longer one is not used as a name. */
#define CREATOR_BYTES_MAX 256

/* Blocks of one group that are told apart by their creators; real files have some ten. */
#define BLOCKS_MAX 64

struct metadata {
    struct columns columns;
    struct buffer name; /* prefix, and the column's name behind it */
    struct buffer value;
    struct buffer identity;
    size_t text_end; /* of the record's text: no cell may go beyond */
    bool is_full;    /* one would have                              */
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
    columns_clear(&md->columns);
    buffer_clear(&md->name);
    buffer_clear(&md->value);
    buffer_clear(&md->identity);
    free(md);
}

/* ---- names ---- */

/* The text of a private creator; none where it cannot be part of a name. */
static struct slice creator_text(const struct wire_element *element)
{
    struct slice none = {NULL, 0};
    if (element->kind != WIRE_VALUE || !utf8_is_valid(element->bytes, element->length))
        return none;
    struct slice creator = python_strip(value_text_plain(element));
    if (creator.length > CREATOR_BYTES_MAX)
        return none;
    for (size_t i = 0; i < creator.length; i++)
        if ((unsigned char)creator.text[i] < 0x20 || creator.text[i] == 0x7f)
            return none;
    return creator;
}

/* Whether (gggg,creator,ee) names just one element of the data set: no block below has the same creator.
 * Where there are more blocks than any real file has, it is not looked for. */
static bool is_first_block(const struct metadata *md, const struct columns_range *range, size_t block,
                           struct slice creator)
{
    uint32_t group = md->columns.nodes[md->columns.order[block]].element.tag & 0xffff0000;
    size_t other = columns_find_private(&md->columns, range, group | 0x10);
    if (block - other > BLOCKS_MAX)
        return false;
    for (; other < block; other++) {
        struct slice text = creator_text(&md->columns.nodes[md->columns.order[other]].element);
        if (text.text != NULL && text.length == creator.length &&
            memcmp(text.text, creator.text, text.length) == 0)
            return false;
    }
    return true;
}

/* "(0019,ACME 1.0,0A)"; the whole element number where that is not unique: "(0019,,100A)". */
static void append_private_name(struct metadata *md, const struct columns_range *range, uint32_t tag)
{
    uint32_t block_tag = (tag & 0xffff0000) | (tag >> 8 & 0xff);
    size_t block = columns_find_private(&md->columns, range, block_tag);
    struct slice creator = {NULL, 0};
    bool is_block = (block_tag & 0xffff) >= 0x10; /* PS3.5 7.8.1 */
    if (is_block && block < range->last &&
        md->columns.nodes[md->columns.order[block]].element.tag == block_tag)
        creator = creator_text(&md->columns.nodes[md->columns.order[block]].element);
    bool is_unique = creator.length > 0 && is_first_block(md, range, block, creator);

    buffer_append_format(&md->name, "(%04X,", (unsigned)(tag >> 16));
    buffer_append(&md->name, creator.text, creator.length);
    buffer_append_format(&md->name, is_unique ? ",%02X)" : ",%04X)",
                         (unsigned)(tag & (is_unique ? 0xff : 0xffff)));
}

/* A creator is part of its elements' names and no column itself. */
static bool is_creator(uint32_t tag)
{
    return columns_is_private(tag) && (tag & 0xffff) >= 0x10 && (tag & 0xffff) <= 0xff;
}

static void append_name(struct metadata *md, const struct columns_range *range,
                        const struct columns_node *node)
{
    if (node->entry != NULL)
        buffer_append_text(&md->name, node->entry->keyword);
    else
        append_private_name(md, range, node->element.tag);
}

/* The column's whole name; valid until md->name changes. */
static struct slice name_of(struct metadata *md, const struct columns_range *range,
                            const struct columns_node *node)
{
    if (md->name.length == 0 && node->entry != NULL)
        return (struct slice){node->entry->keyword, strlen(node->entry->keyword)};
    append_name(md, range, node);
    return (struct slice){md->name.data, md->name.length};
}

/* ---- cells ---- */

/* Whether there is no room for `wanted` bytes more, nor for any column from now on. A name repeats that of
 * each sequence around it: a deep one with many elements makes a thousand bytes of each of theirs. */
static bool is_full(const struct job *job, size_t wanted)
{
    struct metadata *md = job->md;
    size_t used = job->rec->text.length + (job->tuples != NULL ? job->tuples->length : 0);
    md->is_full |= used > md->text_end || wanted > md->text_end - used;
    return md->is_full;
}

static void append_tuple(const struct job *job, struct slice name, const struct wire_element *element)
{
    struct metadata *md = job->md;
    if (is_full(job, name.length + md->value.length))
        return;
    if (job->tuples->length > 1)
        buffer_append_text(job->tuples, ", ");
    buffer_append_char(job->tuples, '(');
    python_append_text_repr(job->tuples, name);
    buffer_append_text(job->tuples, ", ");
    if (element != NULL)
        value_text_append_repr(job->tuples, element);
    else
        buffer_append(job->tuples, md->value.data, md->value.length);
    buffer_append_char(job->tuples, ')');
}

/* A column with the text of md->value. */
static void emit(const struct job *job, struct slice name)
{
    const struct buffer *value = &job->md->value;
    if (job->tuples != NULL)
        append_tuple(job, name, NULL);
    else if (!is_full(job, name.length + value->length))
        record_add_cell(job->rec, name.text, name.length, value->data, value->length);
}

/* A column with the text of the element, which is written to its place in the record at once. */
static void emit_value(const struct job *job, struct slice name, const struct wire_element *element)
{
    if (job->tuples != NULL) {
        buffer_truncate(&job->md->value, 0);
        append_tuple(job, name, element);
        return;
    }
    if (is_full(job, name.length))
        return;
    struct buffer *text = &job->rec->text;
    size_t used = text->length;
    record_begin_cell(job->rec, name.text, name.length);
    size_t start = text->length;
    value_text_append(text, element, job->options->value_format, job->options->max_value_bytes);
    job->md->is_full = name.length + (text->length - start) > job->md->text_end - used;
    if (job->md->is_full)
        record_drop_cell(job->rec);
    else
        record_end_cell(job->rec);
}

static void emit_empty_sequence(const struct job *job, struct slice name)
{
    buffer_truncate(&job->md->value, 0);
    if (job->options->value_format == VALUE_FORMAT_NIFFLER)
        buffer_append_text(&job->md->value, "[]");
    emit(job, name);
}

/* A decoder may send an empty sequence either way. */
static bool is_empty_sequence(const struct wire_element *element)
{
    return element->kind == WIRE_SEQUENCE ||
           (element->vr[0] == 'S' && element->vr[1] == 'Q' && element->length == 0);
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
    size_t count = count_columns(job, item + 1, job->md->columns.nodes[item].end);
    return count > NIFFLER_ITEM_COLUMNS ? 1 : count;
}

static size_t count_columns(const struct job *job, size_t from, size_t end)
{
    struct metadata *md = job->md;
    struct columns_range range = columns_select(&md->columns, from, end, !job->options->public_headers_only);
    size_t count = 0;
    for (size_t i = range.first; i < range.last; i++) {
        size_t index = md->columns.order[i];
        size_t item = index + 1, last = md->columns.nodes[index].end;
        if (is_creator(md->columns.nodes[index].element.tag))
            continue;
        if (item == last)
            count += is_missing(job, &md->columns.nodes[index].element) ? 0 : 1;
        else if (md->columns.nodes[index].element.depth < DEPTH_MAX)
            for (; item < last; item = md->columns.nodes[item].end)
                count += count_item(job, item);
    }
    columns_release(&job->md->columns, &range);
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
    emit(job, (struct slice){md->name.data, md->name.length});
}

static void flatten_items(const struct job *job, const struct columns_range *range, size_t index)
{
    struct metadata *md = job->md;
    size_t prefix = md->name.length;
    size_t last = md->columns.nodes[index].end;
    uint64_t number = 0;

    for (size_t item = index + 1; item < last && !md->is_full; item = md->columns.nodes[item].end, number++) {
        size_t end = md->columns.nodes[item].end;
        buffer_append_text(&md->name, prefix > 0 ? "_" : "");
        buffer_append_u64(&md->name, number);
        buffer_append_char(&md->name, '_');
        append_name(md, range, &md->columns.nodes[index]);
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
    struct columns_range range = columns_select(&md->columns, from, end, !job->options->public_headers_only);
    size_t prefix = md->name.length;

    for (size_t i = range.first; i < range.last && !md->is_full; i++) {
        size_t index = md->columns.order[i];
        const struct wire_element *element = &md->columns.nodes[index].element;
        bool has_items = md->columns.nodes[index].end > index + 1;
        if (is_creator(element->tag) || (!has_items && is_missing(job, element)))
            continue;
        if (has_items) {
            if (element->depth < DEPTH_MAX)
                flatten_items(job, &range, index);
            continue;
        }
        struct slice name = name_of(md, &range, &md->columns.nodes[index]);
        if (is_empty_sequence(element))
            emit_empty_sequence(job, name);
        else
            emit_value(job, name, element);
        buffer_truncate(&md->name, prefix);
    }
    columns_release(&md->columns, &range);
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
    for (size_t i = 0; i < md->columns.node_count; i = md->columns.nodes[i].end) {
        const struct wire_element *element = &md->columns.nodes[i].element;
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

    columns_read(&md->columns, elements, length);
    buffer_truncate(&md->name, 0);
    md->is_full = __builtin_add_overflow(rec->text.length, options->max_metadata_bytes, &md->text_end);
    if (md->is_full) {
        md->text_end = SIZE_MAX;
        md->is_full = false;
    }
    flatten(&job, 0, md->columns.node_count);
    find_identity(md, identity);
    identity->is_cut = md->is_full;
    identity->attribute_count = rec->cell_count - before;
}
