#include "worker/decoder/png/pngout_huffman.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#define LENGTH_MAX 15u

/* By their counts, which stand above 16 bits of a symbol; equal ones stay in order. A digit of eight bits at
 * a time, from the lowest (radix sort), as far as there are any. */
static void sort_by_count(uint64_t *used, size_t count)
{
    uint64_t other[PNGOUT_HUFFMAN_SYMBOLS_MAX], all = 0;
    for (size_t i = 0; i < count; i++)
        all |= used[i];
    for (uint32_t shift = 16; shift < 48 && all >> shift != 0; shift += 8) {
        uint32_t places[256] = {0}, before = 0;
        for (size_t i = 0; i < count; i++)
            places[used[i] >> shift & 0xFF]++;
        for (size_t digit = 0; digit < 256; digit++) {
            uint32_t with_it = places[digit];
            places[digit] = before;
            before += with_it;
        }
        for (size_t i = 0; i < count; i++)
            other[places[used[i] >> shift & 0xFF]++] = used[i];
        memcpy(used, other, count * sizeof *used);
    }
}

/* Depths of the leaves of Huffman's tree over `weights`, which ascend: two queues, the leaves and the inner
 * nodes in the order in which they are made, both ascending and with a weight behind their end that is never
 * the lesser. Which queue is next cannot be foretold, so that both take the same steps. */
static void find_depths(uint64_t *weights, size_t leaves, uint32_t *depths)
{
    uint64_t inner[PNGOUT_HUFFMAN_SYMBOLS_MAX + 1];
    uint32_t parents[2 * PNGOUT_HUFFMAN_SYMBOLS_MAX]; /* of leaves, then of inner nodes: an inner node each */
    uint32_t inner_depths[PNGOUT_HUFFMAN_SYMBOLS_MAX];
    size_t leaf = 0, oldest = 0, nodes = leaves - 1;
    weights[leaves] = UINT64_MAX;
    for (size_t node = 0; node < nodes; node++) {
        uint64_t sum = 0;
        inner[node] = UINT64_MAX;
        for (int child = 0; child < 2; child++) {
            uint64_t of_leaf = weights[leaf], of_inner = inner[oldest];
            size_t is_leaf = of_leaf <= of_inner;
            sum += of_leaf < of_inner ? of_leaf : of_inner;
            parents[is_leaf ? leaf : leaves + oldest] = (uint32_t)node;
            leaf += is_leaf;
            oldest += 1 - is_leaf;
        }
        inner[node] = sum;
    }
    inner_depths[nodes - 1] = 0;
    for (size_t node = nodes - 1; node-- > 0;)
        inner_depths[node] = inner_depths[parents[leaves + node]] + 1;
    for (size_t i = 0; i < leaves; i++)
        depths[i] = inner_depths[parents[i]] + 1;
}

/* How many codes have each length: those of the tree, and where some exceed the limit, the sum of 2^-length
 * brought back to 1 by making the next shorter ones longer. */
static void count_lengths(const uint32_t *depths, size_t leaves, uint32_t limit, uint32_t *of_length)
{
    uint32_t sum = 0; /* of 2^(limit - length) */
    for (size_t i = 0; i < leaves; i++)
        of_length[depths[i] < limit ? depths[i] : limit]++;
    for (uint32_t length = 1; length <= limit; length++)
        sum += of_length[length] << (limit - length);
    for (; sum > 1u << limit; sum--) {
        uint32_t length = limit - 1;
        while (of_length[length] == 0)
            length--;
        of_length[length]--;
        of_length[length + 1] += 2;
        of_length[limit]--;
    }
}

/* The last `length` bits of `code`, the first of them lowest: neighbours change places, then pairs, fours and
 * bytes. */
static uint16_t reversed(uint32_t code, uint32_t length)
{
    code = (code & 0x5555) << 1 | (code >> 1 & 0x5555);
    code = (code & 0x3333) << 2 | (code >> 2 & 0x3333);
    code = (code & 0x0F0F) << 4 | (code >> 4 & 0x0F0F);
    code = (code & 0x00FF) << 8 | code >> 8;
    return (uint16_t)(code >> (16 - length));
}

static void assign(struct pngout_code *codes, size_t count, const uint32_t *of_length)
{
    uint32_t next[LENGTH_MAX + 1] = {0}, code = 0;
    for (uint32_t length = 1; length <= LENGTH_MAX; length++) {
        code = (code + of_length[length - 1]) << 1;
        next[length] = code;
    }
    for (size_t i = 0; i < count; i++)
        if (codes[i].length > 0)
            codes[i].bits = reversed(next[codes[i].length]++, codes[i].length);
}

void pngout_huffman(const uint32_t *counts, size_t count, uint32_t limit, struct pngout_code *codes)
{
    uint64_t used[PNGOUT_HUFFMAN_SYMBOLS_MAX], weights[PNGOUT_HUFFMAN_SYMBOLS_MAX + 1];
    uint32_t depths[PNGOUT_HUFFMAN_SYMBOLS_MAX], of_length[LENGTH_MAX + 1] = {0};
    size_t leaves = 0;
    assert(count <= PNGOUT_HUFFMAN_SYMBOLS_MAX && limit >= 1 && limit <= LENGTH_MAX);
    memset(codes, 0, count * sizeof *codes);
    for (size_t i = 0; i < count; i++)
        if (counts[i] > 0)
            used[leaves++] = (uint64_t)counts[i] << 16 | i;
    if (leaves == 0)
        return;
    sort_by_count(used, leaves);
    for (size_t i = 0; i < leaves; i++)
        weights[i] = used[i] >> 16;
    if (leaves == 1)
        of_length[1] = 1;
    else {
        find_depths(weights, leaves, depths);
        count_lengths(depths, leaves, limit, of_length);
    }
    /* The rarest get the longest. */
    size_t rank = 0;
    for (uint32_t length = limit; length > 0; length--)
        for (uint32_t i = 0; i < of_length[length] && rank < leaves; i++)
            codes[used[rank++] & 0xFFFF].length = (uint16_t)length;
    assert(rank == leaves);
    assign(codes, count, of_length);
}
