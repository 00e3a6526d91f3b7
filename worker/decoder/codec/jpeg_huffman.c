/* The time of lossless JPEG is the way from one symbol to the next: where a symbol begins is known only when
 * the one before it is. So a look-up gives the length of up to two symbols at once, and everything else is
 * done beside that chain and without a branch on what the stream holds:
 *
 *   - the first of two symbols lies in the index as a whole: its difference is in the entry;
 *   - of the last symbol (the second, or the only one) the code lies in the index, and its further bits may
 *     lie behind it: the entry says where they are, and what to subtract when the first of them is 0;
 *   - the last value is stored after the first one, to the same place when there is only one symbol. */
#include "worker/decoder/codec/jpeg_huffman.h"

#define INDEX_BITS JPEG_HUFFMAN_INDEX_BITS
#define INDEX_COUNT (1u << INDEX_BITS)
#define CODE_BITS_MOST 16u
#define LARGEST_CATEGORY 16u /* the difference 32768, without further bits (H.1.2.2) */

/* Two look-ups fit what is loaded at once. */
_Static_assert(2 * (INDEX_BITS + 15) <= JPEG_BITS_LOADED, "the index is too wide for two look-ups");

/* An entry, from its lowest bit:
 *    8  bits of all its symbols together
 *    8  bits in front of the further bits of the last symbol
 *    8  63 - their number
 *    8  symbols - 1
 *   16  the difference of the first of two symbols, else 0
 *   16  1 - 2^(their number), what is added to them when the first one is 0 */
static uint64_t entry_of(uint32_t code_bits, uint32_t category)
{
    uint64_t lowest = (1 - (1u << category)) & 0xFFFF;
    return (code_bits + category) | (uint64_t)code_bits << 8 | (uint64_t)(63 - category) << 16 | lowest << 48;
}

static uint32_t entry_length(uint64_t entry)
{
    return (uint32_t)entry & 0xFF;
}

static uint32_t entry_offset(uint64_t entry)
{
    return (uint32_t)(entry >> 8) & 0xFF;
}

/* Table F.12's EXTEND: the difference of a category, whose further bits stand at the top of `bits`. */
static inline uint32_t extend(uint64_t bits, uint64_t entry)
{
    uint64_t lowest = entry >> 48, is_negative = ~(uint64_t)((int64_t)bits >> 63);
    return (uint32_t)((bits >> 1 >> (entry >> 16 & 63)) + (lowest & is_negative));
}

static void index_pairs(struct jpeg_huffman *table)
{
    for (uint32_t i = 0; i < INDEX_COUNT; i++) {
        uint64_t first = table->one[i], second = 0;
        uint32_t length = entry_length(first);
        if (length > 0 && length < INDEX_BITS)
            second = table->one[i << length & (INDEX_COUNT - 1)];
        /* The second code must lie in the bits that are left of the index. */
        if (second == 0 || entry_offset(second) > INDEX_BITS - length) {
            table->two[i] = first;
            continue;
        }
        uint64_t top = (uint64_t)i << (64 - INDEX_BITS);
        uint64_t difference = extend(top << entry_offset(first), first) & 0xFFFF;
        table->two[i] = second + length + ((uint64_t)length << 8) + (1u << 24) + (difference << 32);
    }
}

static void index_code(struct jpeg_huffman *table, uint32_t code, uint32_t length, uint32_t category)
{
    if (length > INDEX_BITS || category == LARGEST_CATEGORY)
        return;
    uint64_t entry = entry_of(length, category);
    uint32_t begin = code << (INDEX_BITS - length), end = (code + 1) << (INDEX_BITS - length);
    for (uint32_t i = begin; i < end; i++)
        table->one[i] = entry;
}

bool jpeg_huffman_build(struct jpeg_huffman *table, const uint8_t *counts, const uint8_t *categories)
{
    uint32_t code = 0, place = 0;
    memset(table, 0, sizeof *table);
    for (uint32_t length = 1; length <= CODE_BITS_MOST; length++) {
        uint32_t end = code + counts[length - 1];
        table->places[length - 1] = (int32_t)place - (int32_t)code;
        if (place + counts[length - 1] > JPEG_HUFFMAN_CODES || end >= 1u << length)
            return false;
        for (; code < end; code++, place++) {
            if (categories[place] > LARGEST_CATEGORY)
                return false;
            table->categories[place] = categories[place];
            index_code(table, code, length, categories[place]);
        }
        table->limits[length - 1] = code << (CODE_BITS_MOST - length);
        code <<= 1;
    }
    index_pairs(table);
    return true;
}

/* One symbol that the index does not hold. */
static __attribute__((noinline)) bool long_difference(const struct jpeg_huffman *table,
                                                      struct jpeg_bits *bits, uint32_t *difference)
{
    uint32_t next = (uint32_t)(bits->bits >> (64 - CODE_BITS_MOST)), length = 1;
    while (next >= table->limits[length - 1])
        if (++length > CODE_BITS_MOST)
            return false;
    uint32_t code = jpeg_bits_take(bits, length);
    uint32_t category = table->categories[(int32_t)code + table->places[length - 1]];
    *difference = category == LARGEST_CATEGORY ? 32768 : extend(bits->bits, entry_of(0, category));
    (void)jpeg_bits_take(bits, category % LARGEST_CATEGORY);
    return true;
}

/* One symbol of any length. */
static inline bool next_difference(const struct jpeg_huffman *table, struct jpeg_bits *bits,
                                   uint32_t *difference)
{
    jpeg_bits_load(bits);
    uint64_t entry = table->one[bits->bits >> (64 - INDEX_BITS)];
    if (entry == 0)
        return long_difference(table, bits, difference);
    *difference = extend(bits->bits << entry_offset(entry), entry);
    (void)jpeg_bits_take(bits, entry_length(entry));
    return true;
}

/* What is decoded, in registers. */
struct run {
    struct jpeg_bits bits;
    uint16_t *out;
    uint32_t sum;
};

/* The next one or two symbols by one look-up; false where the table does not hold them. */
static inline __attribute__((always_inline)) bool look_up(const uint64_t *two, bool is_sum, struct run *run)
{
    uint64_t entry = two[run->bits.bits >> (64 - INDEX_BITS)];
    if (__builtin_expect(entry == 0, 0))
        return false;
    uint32_t first = run->sum + (uint32_t)(entry >> 32);
    uint32_t last = extend(run->bits.bits << (entry >> 8 & 63), entry);
    run->bits.bits <<= entry & 63;
    run->bits.count -= entry_length(entry);
    if (is_sum)
        run->sum = last += first;
    uint32_t more = (uint32_t)(entry >> 24) & 0xFF;
    run->out[0] = (uint16_t)first;
    run->out[more] = (uint16_t)last;
    run->out += more + 1;
    return true;
}

static inline __attribute__((always_inline)) bool decode(const struct jpeg_huffman *table,
                                                         struct jpeg_bits *bits, uint32_t start, bool is_sum,
                                                         uint16_t *out, size_t count)
{
    uint16_t *end = out + count;
    struct run run = {*bits, out, start};
    bool ok = true;
    while (ok) {
        /* Two look-ups store up to four values. */
        while (end - run.out >= 4) {
            jpeg_bits_load(&run.bits);
            if (!look_up(table->two, is_sum, &run) || !look_up(table->two, is_sum, &run))
                break;
        }
        if (run.out == end)
            break;
        /* A code that the table does not hold, or the end of the row, which no pair may go beyond. */
        uint32_t difference = 0;
        struct jpeg_bits now = run.bits;
        ok = next_difference(table, &now, &difference);
        run.bits = now;
        run.sum = is_sum ? run.sum + difference : 0;
        *run.out++ = (uint16_t)(is_sum ? run.sum : difference);
    }
    *bits = run.bits;
    return ok;
}

bool jpeg_huffman_differences(const struct jpeg_huffman *table, struct jpeg_bits *bits, uint16_t *out,
                              size_t count)
{
    return decode(table, bits, 0, false, out, count);
}

bool jpeg_huffman_sums(const struct jpeg_huffman *table, struct jpeg_bits *bits, uint32_t start,
                       uint16_t *out, size_t count)
{
    return decode(table, bits, start, true, out, count);
}

bool jpeg_huffman_woven(const struct jpeg_huffman *const *tables, size_t step, struct jpeg_bits *bits,
                        uint16_t *out, size_t count)
{
    struct jpeg_bits now = *bits;
    bool ok = true;
    for (size_t i = 0; i < count && ok; i += step) {
        for (size_t k = 0; k < step && ok; k++) {
            uint32_t difference = 0;
            ok = next_difference(tables[k], &now, &difference);
            out[i + k] = (uint16_t)difference;
        }
    }
    *bits = now;
    return ok;
}
