#include "common/dictionary.h"

#include <stddef.h>
#include <string.h>

#include "common/dictionary_table.h"

/* A branch-free lower bound: the loop count depends on the table's size only, and the comparison becomes a
 * conditional move. With 4898 entries that is 13 steps in some 20 ns, so no further index is worth its
 * memory. */
const struct dictionary_entry *dictionary_find(uint32_t tag)
{
    const struct dictionary_entry *base = dictionary_entries;
    size_t length = DICTIONARY_ENTRY_COUNT;

    while (length > 1) {
        size_t half = length / 2;

        base += base[half - 1].tag < tag ? half : 0;
        length -= half;
    }
    return base->tag == tag ? base : NULL;
}

const struct dictionary_entry *dictionary_find_keyword(const char *keyword)
{
    size_t low = 0;
    size_t high = DICTIONARY_ENTRY_COUNT;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct dictionary_entry *entry = &dictionary_entries[dictionary_by_keyword[middle]];
        int order = strcmp(keyword, entry->keyword);

        if (order == 0)
            return entry;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const struct dictionary_entry *dictionary_at_rank(unsigned rank)
{
    return rank < DICTIONARY_ENTRY_COUNT ? &dictionary_entries[dictionary_by_keyword[rank]] : NULL;
}
