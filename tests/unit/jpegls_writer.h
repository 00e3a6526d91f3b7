/* jpegls_writer.h: a JPEG-LS encoder for tests, sample by sample and bit by bit as ITU-T T.87 words it.
 *
 * It writes what no encoder at hand does: restart intervals, any MAXVAL, two components, scans of some of the
 * components. It shares no code with the decoder, so that a mistake in one is not also in the other. */
#ifndef NIFFLER_TESTS_UNIT_JPEGLS_WRITER_H
#define NIFFLER_TESTS_UNIT_JPEGLS_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct jls_picture {
    int rows, columns, components, precision;
    uint16_t *samples; /* pixel by pixel; afterwards what a decoder gives */
};

struct jls_preset {
    int maxval, t1, t2, t3, reset; /* 0: the default */
};

struct jls_scan {
    int first, components; /* of the picture's */
    int interleave;        /* 0 plane, 1 line, 2 sample */
    int near;
    int interval; /* rows; 0: none */
};

struct jls_stream {
    uint8_t *bytes;
    size_t length;
    size_t room;
    unsigned byte, count; /* the one being written */
};

/* ---- bytes and bits --------------------------------------------------------------------------- */

static void jls_byte(struct jls_stream *out, unsigned byte)
{
    if (out->length == out->room)
        abort();
    out->bytes[out->length++] = (uint8_t)byte;
}

static void jls_u16(struct jls_stream *out, unsigned value)
{
    jls_byte(out, value >> 8 & 0xFF);
    jls_byte(out, value & 0xFF);
}

static void jls_bits(struct jls_stream *out, unsigned value, int count)
{
    for (int i = count - 1; i >= 0; i--) {
        bool stuffed = out->length > 0 && out->bytes[out->length - 1] == 0xFF;
        out->byte = out->byte << 1 | (value >> i & 1);
        if (++out->count == (stuffed ? 7u : 8u)) {
            jls_byte(out, out->byte);
            out->byte = out->count = 0;
        }
    }
}

static void jls_flush(struct jls_stream *out)
{
    while (out->count > 0)
        jls_bits(out, 0, 1);
    if (out->bytes[out->length - 1] == 0xFF)
        jls_byte(out, 0);
}

/* ---- state ------------------------------------------------------------------------------------- */

struct jls_state {
    const struct jls_picture *picture;
    const struct jls_scan *scan;
    struct jls_stream *out;
    int maxval, near, t[3], reset, range, qbpp, limit;
    int start; /* the interval's first row */
    long a[367], n[367], b[365], c[365], nn[2];
    int run_index[4];
};

static int jls_log2(long values)
{
    int bits = 0;
    while ((1L << bits) < values)
        bits++;
    return bits;
}

static int jls_clamp(int value, int least, int most)
{
    return value > most || value < least ? least : value;
}

static int jls_max(int a, int b)
{
    return a > b ? a : b;
}

static void jls_begin(struct jls_state *s, const struct jls_preset *preset)
{
    int maxval = preset->maxval ? preset->maxval : (1 << s->picture->precision) - 1, near = s->scan->near;
    int factor = maxval >= 128 ? ((maxval < 4095 ? maxval : 4095) + 128) >> 8 : 256 / (maxval + 1);
    static const int basic[] = {3, 7, 21}, nears[] = {3, 5, 7}, least[] = {2, 3, 4};
    const int given[] = {preset->t1, preset->t2, preset->t3};
    for (int i = 0; i < 3; i++) {
        int wanted = maxval >= 128 ? factor * (basic[i] - least[i]) + least[i] + nears[i] * near
                                   : jls_max(least[i], basic[i] / factor + nears[i] * near);
        s->t[i] = given[i] ? given[i] : jls_clamp(wanted, i == 0 ? near + 1 : s->t[i - 1], maxval);
    }
    int bpp = jls_max(2, jls_log2(maxval + 1L));
    s->maxval = maxval;
    s->near = near;
    s->reset = preset->reset ? preset->reset : 64;
    s->range = (maxval + 2 * near) / (2 * near + 1) + 1;
    s->qbpp = jls_log2(s->range);
    s->limit = 2 * (bpp + jls_max(8, bpp));
}

static void jls_restart(struct jls_state *s, int row)
{
    for (int i = 0; i < 367; i++) {
        s->a[i] = jls_max(2, (s->range + 32) / 64);
        s->n[i] = 1;
    }
    memset(s->b, 0, sizeof s->b);
    memset(s->c, 0, sizeof s->c);
    memset(s->nn, 0, sizeof s->nn);
    memset(s->run_index, 0, sizeof s->run_index);
    s->start = row;
}

/* ---- samples ------------------------------------------------------------------------------------ */

static uint16_t *jls_at(const struct jls_state *s, int row, int column, int component)
{
    const struct jls_picture *p = s->picture;
    return &p->samples[((size_t)row * (size_t)p->columns + (size_t)column) * (size_t)p->components +
                       (size_t)component];
}

/* A.2.1: what stands around the picture. */
static int jls_sample(const struct jls_state *s, int row, int column, int component)
{
    if (column >= s->picture->columns)
        column = s->picture->columns - 1;
    if (column < 0)
        return jls_sample(s, row - 1, 0, component);
    return row < s->start ? 0 : *jls_at(s, row, column, component);
}

static int jls_level(const struct jls_state *s, int d)
{
    if (d < 0)
        return -jls_level(s, -d);
    return d <= s->near ? 0 : d < s->t[0] ? 1 : d < s->t[1] ? 2 : d < s->t[2] ? 3 : 4;
}

struct jls_around {
    int ra, rb, rc, q; /* q: signed */
};

static struct jls_around jls_look(const struct jls_state *s, int row, int column, int component)
{
    struct jls_around around = {jls_sample(s, row, column - 1, component),
                                jls_sample(s, row - 1, column, component),
                                jls_sample(s, row - 1, column - 1, component), 0};
    int rd = jls_sample(s, row - 1, column + 1, component);
    around.q = 81 * jls_level(s, rd - around.rb) + 9 * jls_level(s, around.rb - around.rc) +
               jls_level(s, around.rc - around.ra);
    return around;
}

/* The error as it is coded, and the sample as the decoder will have it. */
static int jls_quantize(const struct jls_state *s, int error, int predicted, int sign, uint16_t *sample)
{
    int step = 2 * s->near + 1;
    error = error > 0 ? (error + s->near) / step : -((s->near - error) / step);
    int value = predicted + sign * error * step;
    *sample = (uint16_t)(value < 0 ? 0 : value > s->maxval ? s->maxval : value);
    if (error < 0)
        error += s->range;
    if (error >= (s->range + 1) / 2)
        error -= s->range;
    return error;
}

static void jls_code(const struct jls_state *s, long mapped, int k, int limit)
{
    int most = limit - s->qbpp - 1;
    bool is_short = (mapped >> k) < most;
    for (long i = is_short ? mapped >> k : most; i > 0; i--)
        jls_bits(s->out, 0, 1);
    jls_bits(s->out, 1, 1);
    jls_bits(s->out, (unsigned)(is_short ? mapped : mapped - 1), is_short ? k : s->qbpp);
}

static int jls_k(long n, long a)
{
    int k = 0;
    while ((n << k) < a)
        k++;
    return k;
}

static void jls_update(struct jls_state *s, int q, int error)
{
    s->b[q] += (long)error * (2 * s->near + 1);
    s->a[q] += error < 0 ? -error : error;
    if (s->n[q] == s->reset) {
        s->a[q] >>= 1;
        s->b[q] = s->b[q] >= 0 ? s->b[q] >> 1 : -((1 - s->b[q]) >> 1);
        s->n[q] >>= 1;
    }
    s->n[q]++;
    if (s->b[q] <= -s->n[q]) {
        s->b[q] += s->n[q];
        if (s->c[q] > -128)
            s->c[q]--;
        if (s->b[q] <= -s->n[q])
            s->b[q] = -s->n[q] + 1;
    } else if (s->b[q] > 0) {
        s->b[q] -= s->n[q];
        if (s->c[q] < 127)
            s->c[q]++;
        if (s->b[q] > 0)
            s->b[q] = 0;
    }
}

static void jls_regular(struct jls_state *s, const struct jls_around *around, uint16_t *sample)
{
    int sign = around->q < 0 ? -1 : 1, q = sign * around->q;
    int ra = around->ra, rb = around->rb, rc = around->rc;
    int least = ra < rb ? ra : rb, most = ra < rb ? rb : ra;
    int predicted = rc >= most ? least : rc <= least ? most : ra + rb - rc;
    predicted += sign * (int)s->c[q];
    predicted = predicted < 0 ? 0 : predicted > s->maxval ? s->maxval : predicted;
    int error = jls_quantize(s, sign * (*sample - predicted), predicted, sign, sample);
    int k = jls_k(s->n[q], s->a[q]);
    bool is_turned = s->near == 0 && k == 0 && 2 * s->b[q] <= -s->n[q];
    long mapped = error >= 0 ? 2L * error + is_turned : -2L * error - 1 - is_turned;
    jls_code(s, mapped, k, s->limit);
    jls_update(s, q, error);
}

/* ---- runs ----------------------------------------------------------------------------------------- */

static const int jls_j[32] = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,  2,  3,  3,  3,  3,
                              4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static void jls_run_length(struct jls_state *s, int length, bool ends_line, int *index)
{
    while (length >= 1 << jls_j[*index]) {
        jls_bits(s->out, 1, 1);
        length -= 1 << jls_j[*index];
        if (*index < 31)
            ++*index;
    }
    if (!ends_line) {
        jls_bits(s->out, 0, 1);
        jls_bits(s->out, (unsigned)length, jls_j[*index]);
    } else if (length > 0) {
        jls_bits(s->out, 1, 1);
    }
}

static void jls_interruption(struct jls_state *s, int ra, int rb, bool alike, int index, uint16_t *sample)
{
    int predicted = alike ? ra : rb, sign = !alike && ra > rb ? -1 : 1, q = 365 + alike;
    int error = jls_quantize(s, sign * (*sample - predicted), predicted, sign, sample);
    int k = jls_k(s->n[q], s->a[q] + (alike ? s->n[q] >> 1 : 0));
    bool mapped_down = (k == 0 && error > 0 && 2 * s->nn[alike] < s->n[q]) ||
                       (error < 0 && 2 * s->nn[alike] >= s->n[q]) || (error < 0 && k != 0);
    long mapped = 2L * (error < 0 ? -error : error) - alike - mapped_down;
    jls_code(s, mapped, k, s->limit - jls_j[index] - 1);
    s->nn[alike] += error < 0;
    s->a[q] += (mapped + 1 - alike) >> 1;
    if (s->n[q] == s->reset) {
        s->a[q] >>= 1;
        s->n[q] >>= 1;
        s->nn[alike] >>= 1;
    }
    s->n[q]++;
}

/* A run of `count` components from `first` on, as one, from the column on; returns the one behind it. */
static int jls_run(struct jls_state *s, int row, int column, int first, int count)
{
    const int columns = s->picture->columns, start = column;
    int *index = &s->run_index[count > 1 || s->scan->interleave == 2 ? 0 : first - s->scan->first];
    for (; column < columns; column++) {
        bool goes_on = true;
        for (int i = first; i < first + count; i++)
            goes_on &= abs(*jls_at(s, row, column, i) - jls_sample(s, row, start - 1, i)) <= s->near;
        if (!goes_on)
            break;
        for (int i = first; i < first + count; i++)
            *jls_at(s, row, column, i) = (uint16_t)jls_sample(s, row, start - 1, i);
    }
    jls_run_length(s, column - start, column == columns, index);
    if (column == columns)
        return column;
    for (int i = first; i < first + count; i++) {
        int ra = jls_sample(s, row, column - 1, i), rb = jls_sample(s, row - 1, column, i);
        bool alike = count == 1 && abs(ra - rb) <= s->near;
        jls_interruption(s, ra, rb, alike, *index, jls_at(s, row, column, i));
    }
    if (*index > 0)
        --*index;
    return column + 1;
}

/* ---- scans ------------------------------------------------------------------------------------------ */

/* `count` components from `first` on, pixel by pixel. */
static void jls_line(struct jls_state *s, int row, int first, int count)
{
    for (int column = 0; column < s->picture->columns;) {
        struct jls_around around[4];
        bool is_flat = true;
        for (int i = 0; i < count; i++) {
            around[i] = jls_look(s, row, column, first + i);
            is_flat &= around[i].q == 0;
        }
        if (is_flat) {
            column = jls_run(s, row, column, first, count);
            continue;
        }
        for (int i = 0; i < count; i++)
            jls_regular(s, &around[i], jls_at(s, row, column, first + i));
        column++;
    }
}

static void jls_put_scan(struct jls_stream *out, const struct jls_picture *picture,
                         const struct jls_scan *scan, const struct jls_preset *preset)
{
    static struct jls_state s;
    s = (struct jls_state){.picture = picture, .scan = scan, .out = out};
    jls_u16(out, 0xFFDA);
    jls_u16(out, (unsigned)(6 + 2 * scan->components));
    jls_byte(out, (unsigned)scan->components);
    for (int i = 0; i < scan->components; i++)
        jls_u16(out, (unsigned)(scan->first + i + 1) << 8);
    jls_byte(out, (unsigned)scan->near);
    jls_byte(out, (unsigned)scan->interleave);
    jls_byte(out, 0);
    jls_begin(&s, preset);
    jls_restart(&s, 0);
    for (int row = 0, restarts = 0; row < picture->rows; row++) {
        if (row > 0 && scan->interval > 0 && row % scan->interval == 0) {
            jls_flush(out);
            jls_u16(out, 0xFFD0u + (unsigned)(restarts++ % 8));
            jls_restart(&s, row);
        }
        const int at_once = scan->interleave == 2 ? scan->components : 1;
        for (int i = 0; i < scan->components; i += at_once)
            jls_line(&s, row, scan->first + i, at_once);
    }
    jls_flush(out);
}

static void jls_put_frame(struct jls_stream *out, const struct jls_picture *picture)
{
    jls_u16(out, 0xFFD8);
    jls_u16(out, 0xFFF7);
    jls_u16(out, (unsigned)(8 + 3 * picture->components));
    jls_byte(out, (unsigned)picture->precision);
    jls_u16(out, (unsigned)picture->rows);
    jls_u16(out, (unsigned)picture->columns);
    jls_byte(out, (unsigned)picture->components);
    for (int i = 0; i < picture->components; i++) {
        jls_byte(out, (unsigned)(i + 1));
        jls_u16(out, 0x1100);
    }
}

static void jls_put_preset(struct jls_stream *out, const struct jls_preset *preset)
{
    jls_u16(out, 0xFFF8);
    jls_u16(out, 13);
    jls_byte(out, 1);
    jls_u16(out, (unsigned)preset->maxval);
    jls_u16(out, (unsigned)preset->t1);
    jls_u16(out, (unsigned)preset->t2);
    jls_u16(out, (unsigned)preset->t3);
    jls_u16(out, (unsigned)preset->reset);
}

/* `bytes`: 2, 3 or 4, of the interval. */
static void jls_put_interval(struct jls_stream *out, int interval, int bytes)
{
    jls_u16(out, 0xFFDD);
    jls_u16(out, (unsigned)(2 + bytes));
    for (int i = bytes - 1; i >= 0; i--)
        jls_byte(out, (unsigned)interval >> 8 * i & 0xFF);
}

/* A whole stream of one kind of scan: all components in one, or with interleave 0 each in its own. */
static void jls_put_all(struct jls_stream *out, const struct jls_picture *picture,
                        const struct jls_scan *kind, const struct jls_preset *preset)
{
    static const struct jls_preset defaults;
    out->length = 0;
    jls_put_frame(out, picture);
    if (memcmp(preset, &defaults, sizeof defaults) != 0)
        jls_put_preset(out, preset);
    if (kind->interval > 0)
        jls_put_interval(out, kind->interval, 2 + picture->rows % 3);
    struct jls_scan scan = *kind;
    scan.components = kind->interleave == 0 ? 1 : picture->components;
    for (scan.first = 0; scan.first < picture->components; scan.first += scan.components)
        jls_put_scan(out, picture, &scan, preset);
    jls_u16(out, 0xFFD9);
}

#endif
