/* The comparison: ours in file order, DCMTK's by tag, since it sorts what it reads. */
#include "tests/differential/compare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

struct state {
    struct comparison cmp;
    bool *matched; /* of DCMTK's entries */
    uint32_t matched_count;
    bool ended, failed;
    unsigned *counts;
    struct buffer *complaint;
};

struct range {
    uint32_t at, end;
};

static const char *const kind_names[DIFFERENCE_KINDS] = {"the transfer syntax differs",
                                                         "DCMTK has not",
                                                         "is repeated",
                                                         "only DCMTK has",
                                                         "is another kind",
                                                         "has another VR",
                                                         "has another length",
                                                         "has another number of items",
                                                         "has another value",
                                                         "converts to another text",
                                                         "is not converted by DCMTK",
                                                         "is marked, and DCMTK converts",
                                                         "has another fragment",
                                                         "has its frames elsewhere",
                                                         "one side fails"};

/* ---- the tree in a list ---- */

static uint32_t end_of_entry(const struct listing *listing, uint32_t at)
{
    const struct listed *entry = &listing->entries[at];
    for (at++; at < listing->count; at++) {
        const struct listed *next = &listing->entries[at];
        bool is_inside =
            next->depth > entry->depth ||
            (entry->kind == LISTED_SEQUENCE && next->kind == LISTED_ITEM && next->depth == entry->depth) ||
            (entry->kind == LISTED_FRAGMENTS && next->kind == LISTED_FRAGMENT);
        if (!is_inside)
            break;
    }
    return at;
}

static struct range inside(const struct listing *listing, uint32_t at)
{
    return (struct range){at + 1, end_of_entry(listing, at)};
}

/* ---- differences ---- */

static bool kind_is_text(enum difference_kind kind)
{
    return kind == DIFFERENT_TEXT || kind == DIFFERENT_NO_TEXT || kind == DIFFERENT_MARKED;
}

static void describe_bytes(struct buffer *out, const char *name, const struct listing *listing,
                           struct listed_bytes bytes)
{
    buffer_append_format(out, "; %s", name);
    for (uint64_t i = 0; i < bytes.length && i < 64; i++)
        buffer_append_format(out, " %02X", listing->heap[bytes.at + i]);
}

static void describe(const struct state *state, const struct difference *difference)
{
    const struct listed *ours = difference->ours, *theirs = difference->theirs;
    const struct listed *one = ours != NULL ? ours : theirs;
    buffer_append_format(state->complaint, "%s", kind_names[difference->kind]);
    if (one != NULL)
        buffer_append_format(state->complaint, ": %08X depth %u", one->tag, one->depth);
    if (ours != NULL)
        buffer_append_format(state->complaint, "; ours %.2s kind %u length %llu%s at %llu", ours->vr,
                             ours->kind, (unsigned long long)ours->promised,
                             ours->is_undefined ? " undefined" : "", (unsigned long long)ours->header);
    if (theirs != NULL)
        buffer_append_format(state->complaint, "; DCMTK %.2s kind %u length %llu%s", theirs->vr, theirs->kind,
                             (unsigned long long)theirs->promised, theirs->is_undefined ? " undefined" : "");
    buffer_append_format(state->complaint, "; ours %s%s, DCMTK %s, %u of %u and %u not met",
                         state->cmp.ours->is_read ? "read" : state->cmp.ours->reason,
                         state->cmp.ours->is_cut ? " and cut" : "",
                         state->cmp.theirs->is_read ? "read" : state->cmp.theirs->reason,
                         difference->their_unmatched, state->cmp.theirs->count, state->cmp.ours->count);
    if (theirs != NULL && kind_is_text(difference->kind))
        buffer_append_format(state->complaint, "; charset ours %u, DCMTK's %u", ours->charset,
                             theirs->charset);
    for (uint32_t i = 0; i < state->cmp.theirs->count && difference->their_unmatched > 0; i++) {
        const struct listed *left = &state->cmp.theirs->entries[i];
        if (!state->matched[i] && left != theirs) {
            buffer_append_format(state->complaint, "; DCMTK's next is %08X %.2s kind %u length %llu",
                                 left->tag, left->vr, left->kind, (unsigned long long)left->promised);
            break;
        }
    }
    if (ours != NULL && theirs != NULL &&
        (difference->kind == DIFFERENT_VALUE || kind_is_text(difference->kind))) {
        describe_bytes(state->complaint, "ours", state->cmp.ours, ours->value);
        describe_bytes(state->complaint, "DCMTK's", state->cmp.theirs, theirs->value);
        describe_bytes(state->complaint, "in UTF-8", state->cmp.theirs, theirs->text);
    }
    if (difference->before != NULL)
        buffer_append_format(state->complaint, "; behind %08X %.2s", difference->before->tag,
                             difference->before->vr);
}

static void report(struct state *state, enum difference_kind kind, const struct listed *ours,
                   const struct listed *theirs)
{
    const struct listing *list = state->cmp.ours;
    struct difference difference = {.kind = kind, .ours = ours, .theirs = theirs};
    difference.their_unmatched = state->cmp.theirs->count - state->matched_count;
    if (ours != NULL) {
        uint32_t at = (uint32_t)(ours - list->entries), end = end_of_entry(list, at);
        difference.before = at > 0 ? ours - 1 : NULL;
        difference.after = end < list->count ? &list->entries[end] : NULL;
    }
    for (size_t i = 0; i < difference_class_count; i++) {
        const struct difference_class *class = &difference_classes[i];
        if ((class->kinds >> kind & 1) == 0 || !class->is_it(&state->cmp, &difference))
            continue;
        state->counts[i]++;
        state->ended |= class->ends;
        return;
    }
    describe(state, &difference);
    state->ended = state->failed = true;
}

bool compare_raw_vr(const struct comparison *cmp, const struct listed *ours, char vr[2])
{
    if (ours == NULL || ours->header == 0 || ours->header + 8 > cmp->source_size)
        return false;
    memcpy(vr, cmp->source + ours->header + 4, 2);
    return true;
}

/* ---- values ---- */

static const uint8_t *bytes_of(const struct listing *listing, struct listed_bytes bytes)
{
    return listing->heap + bytes.at;
}

static bool is_text(const char vr[2])
{
    static const char list[] = "AEASCSDADSDTISTMUIURLOLTPNSHSTUCUT";
    for (const char *at = list; *at != '\0'; at += 2)
        if (vr[0] == at[0] && vr[1] == at[1])
            return true;
    return false;
}

static uint64_t without_padding(const uint8_t *bytes, uint64_t length)
{
    while (length > 0 && (bytes[length - 1] == ' ' || bytes[length - 1] == '\0'))
        length--;
    return length;
}

static void compare_text(struct state *state, const struct listed *ours, const struct listed *theirs)
{
    const struct listing *list = state->cmp.theirs;
    const uint8_t *raw = bytes_of(list, theirs->value), *mine = bytes_of(state->cmp.ours, ours->value);
    uint64_t raw_length = theirs->value.length;
    /* The byte that DCMTK adds to an odd length is of the class that compare_value() has reported. */
    if (ours->promised % 2 != 0 && raw_length == ours->promised + 1)
        raw_length--;
    struct buffer expected = {0};
    bool needs_conversion = false;
    for (uint64_t i = 0; i < raw_length; i++)
        needs_conversion |= raw[i] >= 0x80 || raw[i] == 0x1b;
    walker_convert(state->cmp.walker, ours, raw, raw_length, &expected);
    bool is_same = expected.length == ours->value.length &&
                   (expected.length == 0 || memcmp(expected.data, mine, expected.length) == 0);
    buffer_clear(&expected);
    if (!is_same) {
        report(state, DIFFERENT_VALUE, ours, theirs);
        return;
    }
    /* VRs that SpecificCharacterSet does not touch hold no such bytes by the standard. */
    if (!needs_conversion || strchr("LPSU", ours->vr[0]) == NULL || memcmp(ours->vr, "UI", 2) == 0 ||
        memcmp(ours->vr, "UR", 2) == 0)
        return;
    if (!theirs->has_text) {
        report(state, DIFFERENT_NO_TEXT, ours, theirs);
    } else if (!ours->has_text) {
        report(state, DIFFERENT_MARKED, ours, theirs);
    } else {
        const uint8_t *text = bytes_of(list, theirs->text);
        uint64_t length = without_padding(text, theirs->text.length);
        if (length != without_padding(mine, ours->value.length) || memcmp(text, mine, length) != 0)
            report(state, DIFFERENT_TEXT, ours, theirs);
    }
}

static void compare_value(struct state *state, const struct listed *ours, const struct listed *theirs)
{
    if (memcmp(ours->vr, theirs->vr, 2) != 0)
        report(state, DIFFERENT_VR, ours, theirs);
    if (!state->ended && (ours->is_undefined != theirs->is_undefined ||
                          (!ours->is_undefined && ours->promised != theirs->promised)))
        report(state, DIFFERENT_LENGTH, ours, theirs);
    if (state->ended || (ours->is_bulk && ours->is_undefined))
        return;
    if (ours->is_bulk) {
        if (ours->digest != theirs->digest)
            report(state, DIFFERENT_VALUE, ours, theirs);
        return;
    }
    if (is_text(ours->vr)) {
        compare_text(state, ours, theirs);
        return;
    }
    if (ours->value.length != theirs->value.length ||
        memcmp(bytes_of(state->cmp.ours, ours->value), bytes_of(state->cmp.theirs, theirs->value),
               (size_t)ours->value.length) != 0)
        report(state, DIFFERENT_VALUE, ours, theirs);
}

/* ---- fragments ---- */

static void match(struct state *state, uint32_t their)
{
    state->matched[their] = true;
    state->matched_count++;
}

static void compare_fragments(struct state *state, uint32_t our, uint32_t their)
{
    const struct listing *ours = state->cmp.ours, *theirs = state->cmp.theirs;
    struct range mine = inside(ours, our), other = inside(theirs, their);
    uint32_t at = mine.at, to = other.at;
    for (; at < mine.end && to < other.end && !state->ended; at++, to++) {
        const struct listed *one = &ours->entries[at], *two = &theirs->entries[to];
        match(state, to);
        if (one->promised != two->promised || one->digest != two->digest)
            report(state, DIFFERENT_FRAGMENT, one, two);
    }
    if (!state->ended && (at < mine.end || to < other.end))
        report(state, DIFFERENT_ITEMS, &ours->entries[our], &theirs->entries[their]);
    uint32_t frames = ours->frames < theirs->frames ? ours->frames : theirs->frames;
    if (!state->ended && frames > 0 &&
        memcmp(ours->frame_start, theirs->frame_start, frames * sizeof ours->frame_start[0]) != 0)
        report(state, DIFFERENT_FRAMES, &ours->entries[our], &theirs->entries[their]);
}

/* ---- sequences ---- */

static void compare_data_sets(struct state *state, struct range mine, struct range other);

static void compare_items(struct state *state, uint32_t our, uint32_t their)
{
    const struct listing *ours = state->cmp.ours, *theirs = state->cmp.theirs;
    struct range mine = inside(ours, our), other = inside(theirs, their);
    while (mine.at < mine.end && other.at < other.end && !state->ended) {
        match(state, other.at);
        compare_data_sets(state, inside(ours, mine.at), inside(theirs, other.at));
        mine.at = end_of_entry(ours, mine.at);
        other.at = end_of_entry(theirs, other.at);
    }
    if (!state->ended && (mine.at < mine.end || other.at < other.end))
        report(state, DIFFERENT_ITEMS, mine.at < mine.end ? &ours->entries[mine.at] : &ours->entries[our],
               &theirs->entries[their]);
}

static void compare_entries(struct state *state, uint32_t our, uint32_t their)
{
    const struct listed *ours = &state->cmp.ours->entries[our];
    const struct listed *theirs = &state->cmp.theirs->entries[their];
    match(state, their);
    if (ours->kind != theirs->kind)
        report(state, DIFFERENT_KIND, ours, theirs);
    if (state->ended || ours->kind != theirs->kind)
        return;
    if (ours->kind == LISTED_SEQUENCE) {
        if (ours->is_undefined != theirs->is_undefined)
            report(state, DIFFERENT_LENGTH, ours, theirs);
        if (!state->ended)
            compare_items(state, our, their);
        return;
    }
    compare_value(state, ours, theirs);
    if (ours->kind == LISTED_FRAGMENTS && !state->ended)
        compare_fragments(state, our, their);
}

/* DCMTK's element of this tag, from `hint` on and then from the start; the end of the range if there is none.
 */
static uint32_t find(const struct listing *theirs, struct range range, uint32_t hint, uint32_t tag)
{
    for (uint32_t at = hint; at < range.end; at = end_of_entry(theirs, at))
        if (theirs->entries[at].tag == tag)
            return at;
    for (uint32_t at = range.at; at < hint; at = end_of_entry(theirs, at))
        if (theirs->entries[at].tag == tag)
            return at;
    return range.end;
}

static void compare_data_sets(struct state *state, struct range mine, struct range other)
{
    const struct listing *ours = state->cmp.ours, *theirs = state->cmp.theirs;
    uint32_t hint = other.at;
    for (uint32_t at = mine.at; at < mine.end && !state->ended; at = end_of_entry(ours, at)) {
        uint32_t found = find(theirs, other, hint, ours->entries[at].tag);
        if (found == other.end) {
            report(state, DIFFERENT_MISSING, &ours->entries[at], NULL);
        } else if (state->matched[found]) {
            report(state, DIFFERENT_REPEATED, &ours->entries[at], &theirs->entries[found]);
        } else {
            compare_entries(state, at, found);
            hint = end_of_entry(theirs, found);
        }
    }
    for (uint32_t at = other.at; at < other.end && !state->ended; at = end_of_entry(theirs, at))
        if (!state->matched[at])
            report(state, DIFFERENT_EXTRA, NULL, &theirs->entries[at]);
}

bool compare_listings(const struct walker *walker, const struct listing *ours, const struct listing *theirs,
                      unsigned *counts, struct buffer *complaint)
{
    struct state state = {
        .cmp = {.walker = walker, .ours = ours, .theirs = theirs}, .counts = counts, .complaint = complaint};
    state.cmp.source = walker_source(walker, &state.cmp.source_size);
    state.cmp.is_implicit = ours->is_implicit;
    state.cmp.is_big_endian = ours->is_big_endian;
    state.matched = xcalloc((size_t)theirs->count + 1, sizeof *state.matched);
    if (strcmp(ours->syntax, theirs->syntax) != 0)
        report(&state, DIFFERENT_SYNTAX, NULL, NULL);
    if (!state.ended)
        compare_data_sets(&state, (struct range){0, ours->count}, (struct range){0, theirs->count});
    if (!state.ended && ours->is_read != theirs->is_read)
        report(&state, DIFFERENT_OUTCOME, NULL, NULL);
    free(state.matched);
    return !state.failed;
}
