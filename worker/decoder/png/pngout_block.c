#include "worker/decoder/png/pngout_block.h"

#include <string.h>

#include "worker/decoder/vectors.h"

#define LENGTH_CODES 19u /* of the code lengths: RFC 1951 3.2.7 */
#define LENGTH_CODE_BITS_MAX 7u
#define STORED_BYTES_MAX 65535u
#define HEADER_BYTES_MAX 512u  /* 316 lengths of at most 7 bits and their repetitions' */
#define PAIRED_LITERALS 65536u /* from which on the table of pairs pays */
#define WIDE_LITERALS 16u      /* from which on 64 at a time pay */

/* ---- the header of a block (RFC 1951 3.2.7) ---------------------------------------------------------- */

/* The lengths of all codes, as symbols of their own: repetitions are 16 (of the last, 3 to 6 times), 17 (of
 * 0, 3 to 10) and 18 (of 0, 11 to 138). */
struct length_list {
    struct {
        uint8_t symbol;
        uint8_t extra;
    } items[PNGOUT_SYMBOLS + PNGOUT_DISTANCES];
    size_t count;
    uint32_t counts[LENGTH_CODES];
    struct pngout_code codes[LENGTH_CODES];
    uint32_t symbols;      /* from 257 on                     */
    uint32_t distances;    /* from 1 on                       */
    uint32_t length_codes; /* that the header lists, from 4 on */
    uint64_t bits;         /* of the whole header */
};

static const uint8_t extra_bits_of[LENGTH_CODES] = {[16] = 2, [17] = 3, [18] = 7};
static const uint8_t length_order[LENGTH_CODES] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                   11, 4,  12, 3, 13, 2, 14, 1, 15};

static void add_length(struct length_list *list, uint32_t symbol, uint32_t extra)
{
    list->items[list->count].symbol = (uint8_t)symbol;
    list->items[list->count++].extra = (uint8_t)extra;
    list->counts[symbol]++;
}

static void add_repeated(struct length_list *list, uint32_t length, uint32_t times)
{
    while (length == 0 && times >= 3) {
        uint32_t take = times < 138 ? times : 138;
        add_length(list, take < 11 ? 17 : 18, take - (take < 11 ? 3 : 11));
        times -= take;
    }
    if (length > 0 && times >= 4) {
        add_length(list, length, 0);
        times--;
        while (times >= 3) {
            uint32_t take = times < 6 ? times : 6;
            add_length(list, 16, take - 3);
            times -= take;
        }
    }
    for (; times > 0; times--)
        add_length(list, length, 0);
}

/* How many of `count` codes there are up to the last that is used; at least 1. */
static uint32_t used_codes(const struct pngout_code *codes, uint32_t count)
{
    while (count > 1 && codes[count - 1].length == 0)
        count--;
    return count;
}

static void add_lengths(struct length_list *list, const struct pngout_code *codes, uint32_t count)
{
    for (uint32_t i = 0, times; i < count; i += times) {
        for (times = 1; i + times < count && codes[i + times].length == codes[i].length;)
            times++;
        add_repeated(list, codes[i].length, times);
    }
}

static void list_lengths(struct length_list *list, const struct pngout_block *block)
{
    *list = (struct length_list){.symbols = used_codes(block->codes, PNGOUT_SYMBOLS),
                                 .distances = used_codes(block->distance_codes, PNGOUT_DISTANCES),
                                 .length_codes = LENGTH_CODES};
    add_lengths(list, block->codes, list->symbols);
    add_lengths(list, block->distance_codes, list->distances);
    pngout_huffman(list->counts, LENGTH_CODES, LENGTH_CODE_BITS_MAX, list->codes);
    while (list->length_codes > 4 && list->codes[length_order[list->length_codes - 1]].length == 0)
        list->length_codes--;
    list->bits = 3 + 5 + 5 + 4 + 3 * (uint64_t)list->length_codes;
    for (uint32_t i = 0; i < LENGTH_CODES; i++)
        list->bits += (uint64_t)list->counts[i] * (list->codes[i].length + extra_bits_of[i]);
}

static void write_header(struct pngout_bits *out, const struct length_list *list, bool is_last)
{
    pngout_bits_put(out, (uint64_t)is_last | 2u << 1, 3);
    pngout_bits_put(out, list->symbols - 257, 5);
    pngout_bits_put(out, list->distances - 1, 5);
    pngout_bits_put(out, list->length_codes - 4, 4);
    pngout_bits_flush(out);
    for (uint32_t i = 0; i < list->length_codes; i++) {
        pngout_bits_put(out, list->codes[length_order[i]].length, 3);
        pngout_bits_flush(out);
    }
    for (size_t i = 0; i < list->count; i++) {
        uint32_t symbol = list->items[i].symbol;
        pngout_bits_put(out, list->codes[symbol].bits, list->codes[symbol].length);
        pngout_bits_put(out, list->items[i].extra, extra_bits_of[symbol]);
        pngout_bits_flush(out);
    }
}

/* ---- the symbols of a block --------------------------------------------------------------------------- */

static void make_length_codes(struct pngout_block *block)
{
    for (uint32_t length = PNGOUT_LENGTH_MIN; length <= PNGOUT_LENGTH_MAX; length++) {
        struct pngout_coded coded = pngout_length(length);
        const struct pngout_code *code = &block->codes[coded.symbol];
        block->length_codes[length] = (uint32_t)code->bits | (uint32_t)coded.extra << code->length;
        block->length_bits[length] = (uint8_t)(code->length + coded.extra_bits);
    }
}

static inline void write_singly(struct pngout_bits *out, const struct pngout_code *codes, const uint8_t *in,
                                size_t length)
{
    size_t i = 0;
    for (; i + 4 <= length; i += 4) {
        for (size_t k = 0; k < 4; k++)
            pngout_bits_put(out, codes[in[i + k]].bits, codes[in[i + k]].length);
        pngout_bits_flush(out);
    }
    if (i == length)
        return;
    for (; i < length; i++)
        pngout_bits_put(out, codes[in[i]].bits, codes[in[i]].length);
    pngout_bits_flush(out);
}

/* How many literals are written at a time where they are many; all ways give the same bits, and take codes of
 * that length. */
_Static_assert(PNGOUT_PAIRS_CODE_BITS_MAX <= PNGOUT_WIDE_CODE_BITS_MAX, "codes too long for 64 at a time");
enum stride { STRIDE_1, STRIDE_2, STRIDE_64 };

static enum stride choose_stride(struct pngout_block *block, size_t literals)
{
    if (vectors_are_512()) {
        pngout_wide_make(&block->wide, block->codes);
        return STRIDE_64;
    }
    if (literals < PAIRED_LITERALS)
        return STRIDE_1;
    pngout_pairs_make(&block->pairs, block->codes);
    return STRIDE_2;
}

static inline void write_literals(struct pngout_bits *out, const struct pngout_block *block,
                                  const uint8_t *in, size_t length, enum stride stride)
{
    size_t done = 0;
    if (stride == STRIDE_64 && length >= WIDE_LITERALS) {
        struct pngout_bits writer = *out; /* a copy: what is pointed to is in no register */
        pngout_wide_write(&writer, &block->wide, in, length);
        *out = writer;
        return;
    }
    if (stride == STRIDE_2)
        done = pngout_pairs_write(out, &block->pairs, in, length);
    write_singly(out, block->codes, in + done, length - done);
}

/* At most 18 bits of the length and 26 of the distance. */
static inline void write_repetition(struct pngout_bits *out, const struct pngout_block *block,
                                    uint32_t length, uint32_t distance)
{
    struct pngout_coded coded = pngout_distance(distance);
    const struct pngout_code *code = &block->distance_codes[coded.symbol];
    uint64_t bits = code->bits | (uint64_t)coded.extra << code->length;
    for (uint32_t piece; length > 0; length -= piece) {
        piece = pngout_length_piece(length);
        pngout_bits_put(out, block->length_codes[piece], block->length_bits[piece]);
        pngout_bits_put(out, bits, code->length + coded.extra_bits);
        pngout_bits_flush(out);
    }
}

FOR_EACH_SHIFT static void write_symbols(struct pngout_bits *writer, struct pngout_block *block,
                                         const struct pngout_sequences *sequences, const uint8_t *in,
                                         enum stride stride)
{
    struct pngout_bits out = *writer; /* in registers */
    for (size_t i = 0; i < sequences->count; i++) {
        const struct pngout_sequence *sequence = &sequences->sequences[i];
        write_literals(&out, block, in, sequence->literals, stride);
        if (sequence->length > 0)
            write_repetition(&out, block, sequence->length, sequence->distance);
        in += sequence->literals + sequence->length;
    }
    pngout_bits_put(&out, block->codes[PNGOUT_END].bits, block->codes[PNGOUT_END].length);
    pngout_bits_flush(&out);
    *writer = out;
}

static uint64_t symbol_bits(const struct pngout_block *block, const struct pngout_sequences *sequences)
{
    uint64_t bits = sequences->extra_bits;
    for (uint32_t i = 0; i < PNGOUT_SYMBOLS; i++)
        bits += (uint64_t)sequences->counts[i] * block->codes[i].length;
    for (uint32_t i = 0; i < PNGOUT_DISTANCES; i++)
        bits += (uint64_t)sequences->distance_counts[i] * block->distance_codes[i].length;
    return bits;
}

/* ---- blocks ------------------------------------------------------------------------------------------- */

/* Noise: what does not shrink is stored (RFC 1951 3.2.4). */
static void write_stored(struct pngout_bits *out, const uint8_t *in, size_t length, bool is_last)
{
    while (length > 0) {
        uint32_t piece = length < STORED_BYTES_MAX ? (uint32_t)length : STORED_BYTES_MAX;
        pngout_bits_put(out, is_last && piece == length, 3);
        pngout_bits_align(out);
        pngout_bits_put(out, piece | (uint64_t)(piece ^ 0xFFFF) << 16, 32);
        pngout_bits_flush(out);
        memcpy(out->at, in, piece);
        out->at += piece;
        in += piece;
        length -= piece;
    }
}

static uint64_t stored_bytes(size_t length)
{
    return length + (length / STORED_BYTES_MAX + 1) * 5 + 1;
}

/* What is written of an estimate may be longer than it says, though not without a bound. */
bool pngout_block_may_estimate(size_t length, size_t room)
{
    return stored_bytes(length * PNGOUT_PAIRS_CODE_BITS_MAX / 8) + PNGOUT_BITS_SLACK + HEADER_BYTES_MAX <
           room;
}

bool pngout_block_write(struct pngout_block *block, struct pngout_bits *out, size_t room,
                        const struct pngout_sequences *sequences, const uint8_t *in, size_t length,
                        bool is_last)
{
    struct length_list list;
    pngout_huffman(sequences->counts, PNGOUT_SYMBOLS, PNGOUT_PAIRS_CODE_BITS_MAX, block->codes);
    pngout_huffman(sequences->distance_counts, PNGOUT_DISTANCES, PNGOUT_PAIRS_CODE_BITS_MAX,
                   block->distance_codes);
    list_lengths(&list, block);
    uint64_t size = (list.bits + symbol_bits(block, sequences)) / 8 + 1, stored = stored_bytes(length);
    bool is_stored = stored < size && length > 0;
    if ((is_stored ? stored : size) + PNGOUT_BITS_SLACK > room)
        return false;
    if (is_stored) {
        write_stored(out, in, length, is_last);
        return true;
    }
    make_length_codes(block);
    write_header(out, &list, is_last);
    write_symbols(out, block, sequences, in, choose_stride(block, sequences->literals));
    return true;
}
