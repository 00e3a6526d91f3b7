/* Deflate (RFC 1951) with runs of one byte for its only matches, and a Huffman code for each block. In
 * filtered images that are not drawings longer matches are chance, and cost more than the bytes they replace;
 * without looking for them this takes two to five cycles a byte, and a run of any length next to none. */
#include <libdeflate.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "worker/decoder/pngout_deflate.h"
#include "worker/decoder/pngout_bits.h"
#include "worker/decoder/pngout_huffman.h"
#include "worker/decoder/pngout_pairs.h"
#include "worker/decoder/pngout_runs.h"

#define LENGTH_CODES 19u /* of the code lengths: RFC 1951 3.2.7 */
#define LENGTH_CODE_BITS_MAX 7u
#define STORED_BYTES_MAX 65535u
#define HEADER_BYTES_MAX 512u  /* 286 lengths of at most 14 bits, and what stands before them */
#define PAIRED_LITERALS 65536u /* from which on the table of pairs pays */

/* A run of each length with its distance, which is always 1: code 0, one bit of 0. */
struct run_code {
    uint32_t bits;
    uint32_t length;
};

struct runs_state {
    struct pngout_runs runs;
    struct pngout_code codes[PNGOUT_RUNS_SYMBOLS];
    struct run_code run_codes[PNGOUT_RUNS_LENGTH_MAX + 1];
    struct pngout_pairs pairs;
};

static void *new_state(void)
{
    return xcalloc(1, sizeof(struct runs_state));
}

static void free_state(void *state)
{
    free(state);
}

/* ---- the header of a block (RFC 1951 3.2.7) ---------------------------------------------------------- */

/* The lengths of all codes, as symbols of their own: repetitions are 16 (of the last, 3 to 6 times), 17 (of
 * 0, 3 to 10) and 18 (of 0, 11 to 138). */
struct length_list {
    struct {
        uint8_t symbol;
        uint8_t extra;
    } items[PNGOUT_RUNS_SYMBOLS + 1];
    size_t count;
    uint32_t counts[LENGTH_CODES];
    struct pngout_code codes[LENGTH_CODES];
    uint32_t literal_codes; /* from 257 on */
    uint32_t length_codes;  /* that the header lists, from 4 on */
    uint64_t bits;          /* of the whole header */
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

static void list_lengths(struct length_list *list, const struct pngout_code *codes)
{
    *list = (struct length_list){.literal_codes = PNGOUT_RUNS_SYMBOLS, .length_codes = LENGTH_CODES};
    while (codes[list->literal_codes - 1].length == 0)
        list->literal_codes--; /* the end's is never 0 */
    for (uint32_t i = 0, times; i < list->literal_codes; i += times) {
        for (times = 1; i + times < list->literal_codes && codes[i + times].length == codes[i].length;)
            times++;
        add_repeated(list, codes[i].length, times);
    }
    add_length(list, 1, 0); /* the one distance */
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
    pngout_bits_put(out, list->literal_codes - 257, 5);
    pngout_bits_put(out, 0, 5); /* one distance code */
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

static void make_run_codes(struct runs_state *state)
{
    for (uint32_t run = PNGOUT_RUNS_LENGTH_MIN; run <= PNGOUT_RUNS_LENGTH_MAX; run++) {
        struct pngout_length length = pngout_length(run);
        const struct pngout_code *code = &state->codes[length.symbol];
        state->run_codes[run] =
            (struct run_code){(uint32_t)code->bits | (uint32_t)length.extra << code->length,
                              (uint32_t)code->length + length.extra_bits + 1};
    }
}

static void write_literals(struct pngout_bits *writer, const struct pngout_code *codes, const uint8_t *in,
                           size_t length)
{
    struct pngout_bits out = *writer; /* in registers */
    size_t i = 0;
    for (; i + 4 <= length; i += 4) {
        for (size_t k = 0; k < 4; k++)
            pngout_bits_put(&out, codes[in[i + k]].bits, codes[in[i + k]].length);
        pngout_bits_flush(&out);
    }
    for (; i < length; i++)
        pngout_bits_put(&out, codes[in[i]].bits, codes[in[i]].length);
    pngout_bits_flush(&out);
    *writer = out;
}

static void write_symbols(struct pngout_bits *out, struct runs_state *state, const uint8_t *in)
{
    bool paired = state->runs.literals >= PAIRED_LITERALS;
    if (paired)
        pngout_pairs_make(&state->pairs, state->codes);
    for (size_t i = 0; i < state->runs.count; i++) {
        const struct pngout_sequence *sequence = &state->runs.sequences[i];
        if (paired)
            pngout_pairs_write(out, &state->pairs, state->codes, in, sequence->literals);
        else
            write_literals(out, state->codes, in, sequence->literals);
        for (uint32_t run = sequence->run, piece; run > 0; run -= piece) {
            piece = pngout_run_piece(run);
            pngout_bits_put(out, state->run_codes[piece].bits, state->run_codes[piece].length);
            pngout_bits_flush(out);
        }
        in += sequence->literals + sequence->run;
    }
    pngout_bits_put(out, state->codes[PNGOUT_RUNS_END].bits, state->codes[PNGOUT_RUNS_END].length);
    pngout_bits_flush(out);
}

static uint64_t symbol_bits(const struct runs_state *state)
{
    uint64_t bits = state->runs.extra_bits + state->runs.run_count; /* a bit for each distance */
    for (uint32_t i = 0; i < PNGOUT_RUNS_SYMBOLS; i++)
        bits += (uint64_t)state->runs.counts[i] * state->codes[i].length;
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

static bool write_block(struct runs_state *state, struct pngout_bits *out, const uint8_t *end_of_room,
                        const uint8_t *in, size_t begin, size_t end, bool is_last)
{
    struct length_list list;
    /* What is written of an estimate may be longer than it says, though not without a bound. */
    uint64_t most = stored_bytes((end - begin) * PNGOUT_PAIRS_CODE_BITS_MAX / 8);
    bool may_estimate = most + PNGOUT_BITS_SLACK + HEADER_BYTES_MAX < (uint64_t)(end_of_room - out->at);
    pngout_runs_find(&state->runs, in, begin, end, may_estimate);
    pngout_huffman(state->runs.counts, PNGOUT_RUNS_SYMBOLS, PNGOUT_PAIRS_CODE_BITS_MAX, state->codes);
    list_lengths(&list, state->codes);
    uint64_t size = (list.bits + symbol_bits(state)) / 8 + 1, stored = stored_bytes(end - begin);
    bool is_stored = stored < size && end > begin;
    if ((is_stored ? stored : size) + PNGOUT_BITS_SLACK > (uint64_t)(end_of_room - out->at))
        return false;
    if (is_stored) {
        write_stored(out, in + begin, end - begin, is_last);
        return true;
    }
    make_run_codes(state);
    write_header(out, &list, is_last);
    write_symbols(out, state, in + begin);
    return true;
}

static size_t compress_runs(void *context, const uint8_t *in, size_t length, uint8_t *out, size_t capacity)
{
    struct runs_state *state = context;
    struct pngout_bits writer = {.at = out};
    size_t begin = 0;
    if (capacity < 2 * PNGOUT_BITS_SLACK)
        return 0;
    pngout_bits_put(&writer, 0x0178,
                    16); /* RFC 1950 2.2: deflate, a window of 32 KB, no preset dictionary, fastest */
    pngout_bits_flush(&writer);
    do {
        size_t end = length - begin < PNGOUT_RUNS_BLOCK_BYTES ? length : begin + PNGOUT_RUNS_BLOCK_BYTES;
        if (!write_block(state, &writer, out + capacity, in, begin, end, end == length))
            return 0;
        begin = end;
    } while (begin < length);
    pngout_bits_align(&writer);
    if ((size_t)(out + capacity - writer.at) < PNGOUT_BITS_SLACK)
        return 0;
    uint64_t sum = libdeflate_adler32(1, in, length);
    pngout_bits_put(&writer, __builtin_bswap32((uint32_t)sum), 32);
    pngout_bits_flush(&writer);
    return (size_t)(writer.at - out);
}

const struct pngout_deflate pngout_deflate_runs = {"runs", new_state, free_state, compress_runs};
