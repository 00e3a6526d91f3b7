/* From one pixel to the next there is a chain: the pixel gives the context of its neighbour, the context says
 * how the neighbour's code is to be read. What does not depend on the pixel to the left is kept out of it:
 * what the row above says is there beforehand (struct jpegls_ahead), and what a context says of its next code
 * is computed when it is left. Nothing that the picture decides is a branch, but runs and long codes. */
#include "worker/decoder/codec/codec_jpegls_line.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define NEVER_INLINE __attribute__((noinline))
#define RARELY(condition) __builtin_expect((condition), 0)

/* The greatest mapped error. Writers need no more than 65536. With errors of up to 65535 A, of at most 65535
 * errors and one more, does not overflow, and k does not exceed JPEGLS_K_MAX. */
#define MAPPED_MAX 131069u
#define FAILED UINT32_MAX

static const uint8_t run_bits[32] = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,  2,  3,  3,  3,  3,
                                     4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15}; /* J */

/* Samples that n ones stand for, counted from index 0 on: the sum of 1 << run_bits[i] for i below n. */
static const uint32_t run_samples[32] = {0,   1,   2,   3,   4,    6,    8,    10,   12,    16,   20,
                                         24,  28,  36,  44,  52,   60,   76,   92,   124,   156,  220,
                                         284, 412, 540, 796, 1308, 2332, 4380, 8476, 16668, 33052};

struct code {
    uint64_t at;    /* behind it */
    uint32_t value; /* or FAILED */
};

struct run {
    uint64_t at;
    uint32_t length; /* or FAILED */
};

/* ---- codes ------------------------------------------------------------------------------------- */

/* Any code (A.5.3), its unary part by pieces. */
static NEVER_INLINE struct code read_code(const struct jpegls_bits *bits, uint64_t at, uint32_t k,
                                          uint32_t zeros_max, uint32_t raw_bits)
{
    uint32_t zeros = 0, more;
    do {
        more = (uint32_t)__builtin_clzll(jpegls_bits_peek(bits->bytes, at) | 1);
        more = more < JPEGLS_PEEKED ? more : JPEGLS_PEEKED;
        zeros += more;
        at += more;
        if (zeros > zeros_max || at > bits->end)
            return (struct code){at, FAILED};
    } while (more == JPEGLS_PEEKED);
    const uint32_t count = zeros < zeros_max ? k : raw_bits;
    at++;
    uint32_t value = (uint32_t)(jpegls_bits_peek(bits->bytes, at) >> 1 >> (63 - count));
    value += zeros < zeros_max ? zeros << k : 1;
    return (struct code){at + count, value <= MAPPED_MAX ? value : FAILED};
}

/* The smallest k with n << k >= a (A.5.1). */
static ALWAYS_INLINE uint32_t find_k(uint32_t a, uint32_t n)
{
    int32_t k = __builtin_clz(n) - __builtin_clz(a | 1);
    k = k < 0 ? 0 : k;
    return (uint32_t)k + (((uint64_t)n << k) < a);
}

/* ---- regular mode ------------------------------------------------------------------------------- */

/* A.6, without branches that the picture decides: its errors are noise. */
static ALWAYS_INLINE void update(struct jpegls_context *context, int32_t error,
                                 const struct jpegls_coding *coding, bool is_plain)
{
    uint32_t a = context->a + (uint32_t)(error < 0 ? -error : error);
    int32_t n = context->n, b = context->b + (is_plain ? error : error * coding->step);
    if (RARELY(n == (int32_t)coding->reset)) {
        a >>= 1;
        b >>= 1;
        n >>= 1;
    }
    n++;
    /* B is brought back to between 1 - N and 0, and what it left there for goes to C. */
    const int32_t is_low = (b + n - 1) >> 31, is_high = -b >> 31;
    const int32_t c = context->c + is_low - is_high;
    b += (n & is_low) - (n & is_high);
    b = b < 1 - n ? 1 - n : b;
    b = b > 0 ? 0 : b;
    const uint32_t k = find_k(a, (uint32_t)n);
    context->a = a;
    context->b = b;
    context->n = (uint16_t)n;
    if (!RARELY(c > 127 || c < -128))
        context->c = (int16_t)c;
    context->k = (uint16_t)k;
    if (is_plain || coding->near == 0)
        context->flip = (int16_t)((((int32_t)k - 1) & (2 * b + n - 1)) >> 31);
}

/* The sample of a prediction and its error, wherever errors are taken modulo something else than a power of
 * two (A.4.5). */
static ALWAYS_INLINE int64_t reconstruct(const struct jpegls_coding *coding, int64_t predicted, int64_t error)
{
    int64_t value = predicted + error * coding->step;
    if (value < -coding->near)
        value += coding->wrap;
    else if (value > coding->maxval + coding->near)
        value -= coding->wrap;
    value = value < 0 ? 0 : value;
    return value > coding->maxval ? coding->maxval : value;
}

/* The median of left, above, and the plane through the three (A.4.1): above, but no further from left than
 * the row above rises or falls. */
static ALWAYS_INLINE int64_t predict(int64_t left, int64_t above, int64_t rise, int64_t fall)
{
    const int64_t least = left - fall, most = left + rise;
    const int64_t predicted = above < least ? least : above;
    return predicted > most ? most : predicted;
}

/* The context at column x, in bytes from the first one; 0 where nothing differs. *sign: -1 where it stands
 * for the mirror image (A.3.4). */
static ALWAYS_INLINE int64_t find_context(const struct jpegls_ahead *ahead, const int8_t *levels, uint32_t x,
                                          int64_t left, int64_t *sign)
{
    const int64_t level = levels[ahead->centres[x] - left], place = ahead->places[x];
    if (place != 0) {
        *sign = ahead->signs[x];
        return place + level;
    }
    *sign = level >> 63;
    return (level ^ *sign) - *sign;
}

/* The next sample, in the context found; false where there is no code. `is_plain`: lossless, and the samples
 * fill their bits. */
static ALWAYS_INLINE bool regular(struct jpegls_scan *scan, const struct jpegls_coding *coding, uint64_t *at,
                                  int64_t place, int64_t sign, int64_t predicted, bool is_plain,
                                  int64_t *value)
{
    struct jpegls_context *context = (void *)((char *)scan->contexts + place);
    uint64_t word = jpegls_bits_peek(scan->bits.bytes, *at), mapped;
    const uint32_t k = context->k, zeros = (uint32_t)__builtin_clzll(word | 1);
    if (RARELY(zeros >= coding->zeros_short)) {
        struct code code = read_code(&scan->bits, *at, k, coding->zeros_max, coding->raw_bits);
        mapped = code.value;
        if (mapped == FAILED)
            return false;
        *at = code.at;
    } else {
        /* The one on top, which ends the zeros, is shifted down with the bits below it: once too many. */
        word <<= zeros;
        mapped = (((uint64_t)zeros - 1) << k) + (word >> (63 - k));
        if (RARELY(mapped > MAPPED_MAX))
            return false;
        *at += zeros + 1 + k;
    }
    /* Of the two mirrors and of -x being ~x + 1 as little as possible waits for the code. */
    const int64_t flip = context->flip, half = (int64_t)(mapped >> 1), odd = -(int64_t)(mapped & 1);
    predicted += (context->c ^ sign) - sign;
    predicted = predicted < 0 ? 0 : predicted;
    predicted = predicted > coding->maxval ? coding->maxval : predicted;
    const int64_t mirror = sign ^ flip;
    if (is_plain)
        *value = (predicted - sign + (half ^ mirror ^ odd)) & coding->maxval;
    else
        *value = reconstruct(coding, predicted, (half ^ mirror ^ odd) - sign);
    update(context, (int32_t)(half ^ odd ^ flip), coding, is_plain);
    return true;
}

/* ---- runs ----------------------------------------------------------------------------------------- */

/* The length of a run of at most `left` samples, piece by piece (A.7.1). */
static NEVER_INLINE struct run read_pieces(const struct jpegls_bits *bits, uint64_t at, uint32_t *index,
                                           uint32_t left)
{
    uint32_t length = 0;
    while ((jpegls_bits_peek(bits->bytes, at) >> 63) != 0) {
        const uint32_t piece = 1u << run_bits[*index];
        at++;
        if (piece >= left - length) {
            *index += piece == left - length && *index < 31;
            return (struct run){at, left};
        }
        length += piece;
        *index += *index < 31;
    }
    const uint32_t count = run_bits[*index];
    length += (uint32_t)(jpegls_bits_peek(bits->bytes, at) >> (63 - count));
    at += 1 + count;
    /* There is a sample behind it, or the writer would have said that the run ends with the row. */
    return (struct run){at, at <= bits->end && length < left ? length : FAILED};
}

/* The same. Most runs are short, and their ones and what follows are all in one word. */
static ALWAYS_INLINE struct run read_run(const struct jpegls_bits *bits, uint64_t at, uint32_t *index,
                                         uint32_t left)
{
    const uint64_t word = jpegls_bits_peek(bits->bytes, at);
    const uint32_t start = *index, ones = (uint32_t)__builtin_clzll(~word | 1), end = start + ones;
    if (end > 31 || ones > JPEGLS_PEEKED - 1 - 15)
        return read_pieces(bits, at, index, left);
    const uint32_t count = run_bits[end];
    const uint32_t length = run_samples[end] - run_samples[start] + (uint32_t)(word << ones >> (63 - count));
    at += ones + 1 + count;
    if (length >= left || at > bits->end)
        return read_pieces(bits, at - ones - 1 - count, index, left);
    *index = end;
    return (struct run){at, length};
}

/* The same sample `length` times; up to JPEGLS_FILL - 1 places behind are overwritten. */
static ALWAYS_INLINE void fill(uint16_t *line, uint16_t sample, uint32_t length)
{
    const uint64_t four = sample * UINT64_C(0x0001000100010001);
    for (uint32_t i = 0; i < length; i += JPEGLS_FILL) {
        memcpy(line + i, &four, sizeof four);
        memcpy(line + i + 4, &four, sizeof four);
    }
}

/* The sample that ends a run (A.7.2), from the one to the left and the one above; -1 where there is no code.
 */
static int32_t read_interruption(struct jpegls_scan *scan, uint64_t *at, bool alike, uint32_t index,
                                 int32_t left, int32_t above)
{
    const struct jpegls_coding *coding = &scan->coding;
    struct jpegls_run_context *context = &scan->runs[alike];
    const uint32_t k = find_k(context->a + (alike ? context->n >> 1 : 0), context->n);
    const uint32_t zeros_max = coding->longest - run_bits[index] - 2 - coding->raw_bits;
    const struct code code = read_code(&scan->bits, *at, k, zeros_max, coding->raw_bits);
    if (code.value == FAILED)
        return -1;
    *at = code.at;
    const uint32_t doubled = code.value + alike, is_odd = doubled & 1;
    const bool is_mapped = k != 0 || 2 * context->negative >= context->n;
    int32_t error = (int32_t)((doubled + is_odd) >> 1);
    if (is_mapped == (is_odd == 1))
        error = -error;
    context->negative += error < 0;
    context->a += (code.value + 1 - alike) >> 1;
    if (context->n == coding->reset) {
        context->a >>= 1;
        context->n >>= 1;
        context->negative >>= 1;
    }
    context->n++;
    return (int32_t)reconstruct(coding, alike ? left : above, !alike && left > above ? -error : error);
}

static bool are_alike(const struct jpegls_coding *coding, int32_t left, int32_t above)
{
    return (left < above ? above - left : left - above) <= coding->near;
}

/* A run of one component from column x on, and what ends it: `length` columns in all. */
static NEVER_INLINE struct run decode_run(struct jpegls_scan *scan, uint32_t component, uint64_t at,
                                          uint32_t x)
{
    uint16_t *line = scan->line[component] + x;
    const int32_t left = line[-1];
    uint32_t *index = &scan->run_index[component];
    struct run run = read_run(&scan->bits, at, index, scan->columns - x);
    if (run.length == FAILED)
        return run;
    fill(line, (uint16_t)left, run.length);
    if (run.length == scan->columns - x)
        return run;
    const int32_t above = scan->above[component][x + run.length];
    const int32_t value =
        read_interruption(scan, &run.at, are_alike(&scan->coding, left, above), *index, left, above);
    if (value < 0)
        return (struct run){run.at, FAILED};
    line[run.length++] = (uint16_t)value;
    *index -= *index > 0;
    return run;
}

/* The same of all components at once, whose last samples never count as alike. */
static struct run decode_runs(struct jpegls_scan *scan, uint64_t at, uint32_t x)
{
    uint32_t *index = &scan->run_index[0];
    struct run run = read_run(&scan->bits, at, index, scan->columns - x);
    if (run.length == FAILED)
        return run;
    for (uint32_t component = 0; component < scan->components; component++) {
        uint16_t *line = scan->line[component] + x;
        fill(line, line[-1], run.length);
    }
    if (run.length == scan->columns - x)
        return run;
    for (uint32_t component = 0; component < scan->components; component++) {
        uint16_t *line = scan->line[component] + x;
        const int32_t value =
            read_interruption(scan, &run.at, false, *index, line[-1], scan->above[component][x + run.length]);
        if (value < 0)
            return (struct run){run.at, FAILED};
        line[run.length] = (uint16_t)value;
    }
    run.length++;
    *index -= *index > 0;
    return run;
}

/* ---- lines ------------------------------------------------------------------------------------------- */

/* Leave the line at column x. A code that the data end in was read with zeros for the rest: what it gave does
 * not count. */
static ALWAYS_INLINE uint32_t leave(struct jpegls_scan *scan, uint64_t at, uint32_t x)
{
    scan->bits.at = at;
    return x - (x > 0 && at > scan->bits.end);
}

/* The same in the run that begins there. */
static uint32_t leave_in_run(struct jpegls_scan *scan, uint64_t at, uint32_t x, struct run run)
{
    const uint32_t columns = leave(scan, at, x);
    scan->bits.at = run.at;
    return columns;
}

static ALWAYS_INLINE uint32_t decode_line(struct jpegls_scan *scan, uint32_t component, bool is_plain)
{
    const uint16_t *const row_above = scan->above[component];
    uint16_t *const line = scan->line[component];
    const struct jpegls_ahead ahead = scan->ahead[component];
    const int8_t *const levels = scan->levels;
    const uint32_t columns = scan->columns;
    const struct jpegls_coding coding = scan->coding; /* no store to a context can alter the copy */
    uint64_t at = scan->bits.at;
    int64_t left = line[-1];
    for (uint32_t x = 0; x < columns;) {
        int64_t sign;
        const int64_t place = find_context(&ahead, levels, x, left, &sign);
        if (place == 0) {
            struct run run = decode_run(scan, component, at, x);
            if (run.length == FAILED)
                return leave_in_run(scan, at, x, run);
            at = run.at;
            x += run.length;
            left = line[(ptrdiff_t)x - 1];
            continue;
        }
        const int64_t predicted = predict(left, row_above[x], ahead.rises[x], ahead.falls[x]);
        if (!regular(scan, &coding, &at, place, sign, predicted, is_plain, &left))
            return leave(scan, at, x);
        line[x++] = (uint16_t)left;
    }
    return leave(scan, at, columns);
}

/* Column x of all components in regular mode; false where there is no code. A component in which nothing
 * differs has the first context. */
static ALWAYS_INLINE bool decode_pixel(struct jpegls_scan *scan, const struct jpegls_coding *coding,
                                       uint64_t *at, uint32_t x, const int64_t *places, const int64_t *signs,
                                       bool is_plain)
{
    for (uint32_t i = 0; i < scan->components; i++) {
        uint16_t *line = scan->line[i] + x;
        const struct jpegls_ahead *ahead = &scan->ahead[i];
        const int64_t predicted = predict(line[-1], scan->above[i][x], ahead->rises[x], ahead->falls[x]);
        int64_t value;
        if (!regular(scan, coding, at, places[i], signs[i], predicted, is_plain, &value))
            return false;
        line[0] = (uint16_t)value;
    }
    return true;
}

static ALWAYS_INLINE uint32_t decode_samples(struct jpegls_scan *scan, bool is_plain)
{
    const struct jpegls_coding coding = scan->coding;
    uint64_t at = scan->bits.at;
    for (uint32_t x = 0; x < scan->columns;) {
        int64_t places[JPEGLS_COMPONENTS], signs[JPEGLS_COMPONENTS], any = 0;
        for (uint32_t i = 0; i < scan->components; i++) {
            places[i] =
                find_context(&scan->ahead[i], scan->levels, x, scan->line[i][(ptrdiff_t)x - 1], &signs[i]);
            any |= places[i];
        }
        if (any == 0) {
            struct run run = decode_runs(scan, at, x);
            if (run.length == FAILED)
                return leave_in_run(scan, at, x, run);
            at = run.at;
            x += run.length;
            continue;
        }
        uint64_t behind = at;
        if (!decode_pixel(scan, &coding, &behind, x, places, signs, is_plain))
            return leave(scan, at, x);
        at = behind;
        x++;
    }
    return leave(scan, at, scan->columns);
}

/* ---- the same for several machines --------------------------------------------------------------------- */

#define LINE_FUNCTIONS(name, attribute)                                                          \
    attribute static uint32_t plain_line_##name(struct jpegls_scan *scan, uint32_t component)    \
    {                                                                                            \
        return decode_line(scan, component, true);                                               \
    }                                                                                            \
    attribute static uint32_t any_line_##name(struct jpegls_scan *scan, uint32_t component)      \
    {                                                                                            \
        return decode_line(scan, component, false);                                              \
    }                                                                                            \
    attribute static uint32_t plain_samples_##name(struct jpegls_scan *scan, uint32_t component) \
    {                                                                                            \
        (void)component;                                                                         \
        return decode_samples(scan, true);                                                       \
    }                                                                                            \
    attribute static uint32_t any_samples_##name(struct jpegls_scan *scan, uint32_t component)   \
    {                                                                                            \
        (void)component;                                                                         \
        return decode_samples(scan, false);                                                      \
    }

LINE_FUNCTIONS(everywhere, )

/* Shifts by a register without a detour, and leading zeros in one instruction: a quarter of the time. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
LINE_FUNCTIONS(bmi2, __attribute__((target("avx2,bmi,bmi2,lzcnt,movbe"))))

static bool has_bmi2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("lzcnt") &&
           __builtin_cpu_supports("movbe");
}
#else
#define plain_line_bmi2 plain_line_everywhere
#define any_line_bmi2 any_line_everywhere
#define plain_samples_bmi2 plain_samples_everywhere
#define any_samples_bmi2 any_samples_everywhere

static bool has_bmi2(void)
{
    return false;
}
#endif

jpegls_line_fn *jpegls_line_choose(const struct jpegls_scan *scan)
{
    static jpegls_line_fn *const functions[2][2][2] = {
        {{any_line_everywhere, plain_line_everywhere}, {any_samples_everywhere, plain_samples_everywhere}},
        {{any_line_bmi2, plain_line_bmi2}, {any_samples_bmi2, plain_samples_bmi2}}};
    const struct jpegls_coding *coding = &scan->coding;
    const bool is_plain = coding->near == 0 && (coding->maxval & (coding->maxval + 1)) == 0;
    return functions[has_bmi2()][scan->by_sample][is_plain];
}
