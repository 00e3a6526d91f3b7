/* Our decoder of JPEG 2000 against OpenJPEG: streams of every shape that OpenJPEG writes, and the same with
 * bits turned over and ends cut off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openjpeg.h>

#include "tests/unit/jpeg2000_twin.h"

#define STREAM_MOST (1u << 20)
#define RANDOM_SHAPES 150
#define MUTATIONS 20

struct encoding {
    const char *name;
    uint32_t columns, rows, samples, bits;
    bool is_signed;
    uint32_t x0, y0;        /* of the image */
    uint32_t levels;        /* of decomposition */
    OPJ_PROG_ORDER order;   /* OPJ_LRCP is 0 */
    uint32_t block_columns; /* 0: 64 */
    uint32_t block_rows;
    uint32_t tile_columns; /* 0: no tiles */
    uint32_t tile_rows;
    uint32_t tile_x0, tile_y0;
    uint32_t precinct; /* side; 0: none but the largest */
    uint32_t layers;   /* 0: one */
    float last_rate;   /* compression of the last layer; 0: lossless */
    bool has_sop, has_eph;
    char parts;    /* a tile-part for each 'R'esolution, 'L'ayer or 'C'omponent */
    bool is_plain; /* no transform of colours */
};

/* A small generator, the same everywhere. */
static uint32_t dice(uint64_t *state, uint32_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*state >> 33) % below);
}

/* ---- the encoder ----------------------------------------------------------------------------------------
 */

struct sink {
    uint8_t *bytes;
    size_t length, at;
};

static OPJ_SIZE_T sink_write(void *bytes, OPJ_SIZE_T count, void *context)
{
    struct sink *sink = context;
    assert_true(sink->at + count <= STREAM_MOST);
    memcpy(sink->bytes + sink->at, bytes, count);
    sink->at += count;
    if (sink->at > sink->length)
        sink->length = sink->at;
    return count;
}

static OPJ_OFF_T sink_skip(OPJ_OFF_T count, void *context)
{
    struct sink *sink = context;
    sink->at += (size_t)count;
    return count;
}

static OPJ_BOOL sink_seek(OPJ_OFF_T place, void *context)
{
    struct sink *sink = context;
    sink->at = (size_t)place;
    return OPJ_TRUE;
}

/* Slopes, edges, noise of all sizes, and flat parts. */
static opj_image_t *make_image(const struct encoding *how, uint64_t seed)
{
    opj_image_cmptparm_t parameters[3];
    for (uint32_t i = 0; i < how->samples; i++)
        parameters[i] = (opj_image_cmptparm_t){.dx = 1,
                                               .dy = 1,
                                               .w = how->columns,
                                               .h = how->rows,
                                               .x0 = how->x0,
                                               .y0 = how->y0,
                                               .prec = how->bits,
                                               .bpp = how->bits,
                                               .sgnd = how->is_signed};
    opj_image_t *image =
        opj_image_create(how->samples, parameters, how->samples == 3 ? OPJ_CLRSPC_SRGB : OPJ_CLRSPC_GRAY);
    assert_non_null(image);
    image->x0 = how->x0;
    image->y0 = how->y0;
    image->x1 = how->x0 + how->columns;
    image->y1 = how->y0 + how->rows;
    const uint32_t most = (1u << how->bits) - 1;
    for (uint32_t i = 0; i < how->samples; i++)
        for (uint32_t y = 0; y < how->rows; y++)
            for (uint32_t x = 0; x < how->columns; x++) {
                uint32_t value = (x * (i + 3) + y * 5) * most / 400;
                if ((x / 13 + y / 9) % 3 == 0)
                    value = most - value / 2;
                if ((x / 21 + y / 17) % 4 != 1)
                    value += dice(&seed, 1u << dice(&seed, how->bits + 1));
                image->comps[i].data[(size_t)y * how->columns + x] =
                    (OPJ_INT32)(value & most) - (how->is_signed ? (OPJ_INT32)(most / 2 + 1) : 0);
            }
    return image;
}

static void set_parameters(const struct encoding *how, opj_cparameters_t *parameters)
{
    opj_set_default_encoder_parameters(parameters);
    parameters->numresolution = (int)how->levels + 1;
    parameters->prog_order = how->order;
    parameters->image_offset_x0 = (int)how->x0;
    parameters->image_offset_y0 = (int)how->y0;
    parameters->tcp_mct = how->samples == 3 && !how->is_plain;
    parameters->csty = (how->has_sop ? 2 : 0) | (how->has_eph ? 4 : 0);
    parameters->tcp_numlayers = how->layers > 0 ? (int)how->layers : 1;
    parameters->cp_disto_alloc = 1;
    for (int i = 0; i < parameters->tcp_numlayers; i++)
        parameters->tcp_rates[i] = (float)(parameters->tcp_numlayers - i) * 3 + 1;
    parameters->tcp_rates[parameters->tcp_numlayers - 1] = how->last_rate;
    if (how->block_columns > 0) {
        parameters->cblockw_init = (int)how->block_columns;
        parameters->cblockh_init = (int)how->block_rows;
    }
    /* The encoder wants tiles of 2^levels rows and columns at least, but not such an image. */
    const uint32_t least = 1u << how->levels, right = how->x0 + how->columns, bottom = how->y0 + how->rows;
    parameters->tile_size_on = OPJ_TRUE;
    parameters->cp_tdx = (int)(how->tile_columns > 0 ? how->tile_columns : right > least ? right : least);
    parameters->cp_tdy = (int)(how->tile_rows > 0 ? how->tile_rows : bottom > least ? bottom : least);
    parameters->cp_tx0 = (int)how->tile_x0;
    parameters->cp_ty0 = (int)how->tile_y0;
    if (how->precinct > 0) {
        parameters->csty |= 1;
        parameters->res_spec = (int)how->levels + 1;
        for (uint32_t i = 0; i <= how->levels; i++) {
            const uint32_t side = how->precinct >> i;
            parameters->prcw_init[i] = parameters->prch_init[i] = side > 4 ? (int)side : 4;
        }
    }
    parameters->tp_on = how->parts != 0;
    parameters->tp_flag = how->parts;
}

/* False: OpenJPEG does not write such a stream; some positions of precincts it does not find. */
static bool encode(const struct encoding *how, uint64_t seed, struct sink *sink)
{
    opj_cparameters_t parameters;
    opj_image_t *image = make_image(how, seed);
    set_parameters(how, &parameters);
    sink->length = sink->at = 0;
    opj_codec_t *codec = opj_create_compress(OPJ_CODEC_J2K);
    opj_stream_t *stream = opj_stream_default_create(OPJ_FALSE);
    opj_stream_set_write_function(stream, sink_write);
    opj_stream_set_skip_function(stream, sink_skip);
    opj_stream_set_seek_function(stream, sink_seek);
    opj_stream_set_user_data(stream, sink, NULL);
    const bool ok = opj_setup_encoder(codec, &parameters, image) &&
                    opj_start_compress(codec, image, stream) && opj_encode(codec, stream) &&
                    opj_end_compress(codec, stream);
    opj_stream_destroy(stream);
    opj_destroy_codec(codec);
    opj_image_destroy(image);
    return ok;
}

/* ---- whole streams --------------------------------------------------------------------------------------
 */

static struct codec_frame frame_of(const struct encoding *how)
{
    return (struct codec_frame){.rows = how->rows,
                                .columns = how->columns,
                                .samples = how->samples,
                                .bits_allocated = how->bits > 8 ? 16 : 8,
                                .bits_stored = how->bits,
                                .is_signed = how->is_signed};
}

static void check_samples(const struct encoding *how, uint64_t seed, const struct codec_samples *out)
{
    opj_image_t *image = make_image(how, seed);
    for (uint32_t i = 0; i < how->samples; i++)
        for (size_t k = 0; k < (size_t)how->rows * how->columns; k++)
            if (codec_sample(out, k * how->samples + i) != image->comps[i].data[k])
                fail_msg("%s: sample %zu of component %u is %lld, not %d", how->name, k, i,
                         (long long)codec_sample(out, k * how->samples + i), image->comps[i].data[k]);
    opj_image_destroy(image);
}

/* Ours decodes it, to what OpenJPEG does. */
static void check_whole(const struct encoding *how, uint64_t seed, const struct sink *sink,
                        struct codec_samples *out)
{
    const struct codec_frame frame = frame_of(how);
    const enum twin twin = jpeg2000_twin(sink->bytes, sink->length, &frame, out);
    if (twin != TWIN_EQUAL)
        fail_msg("%s (%u x %u of %u, %u levels, order %d, seed %llu): %s", how->name, how->columns, how->rows,
                 how->samples, how->levels, how->order, (unsigned long long)seed,
                 twin == TWIN_DECLINED    ? "declined"
                 : twin == TWIN_DIFFERENT ? "different"
                                          : "refused by OpenJPEG");
}

/* And where nothing was lost, to what was encoded. */
static void check_lossless(const struct encoding *how, uint64_t seed, struct sink *sink)
{
    struct codec_samples out = {0};
    if (!encode(how, seed, sink))
        fail_msg("%s is not encoded", how->name);
    check_whole(how, seed, sink, &out);
    /* OpenJPEG does not double the sample of a single odd row or column before it halves it. */
    const bool is_single_odd = (how->columns == 1 && how->x0 > 0) || (how->rows == 1 && how->y0 > 0);
    if (how->last_rate <= 0 && !is_single_odd)
        check_samples(how, seed, &out);
    codec_samples_clear(&out);
}

static const struct encoding encodings[] = {
    {.name = "CT", .columns = 512, .rows = 512, .samples = 1, .bits = 16, .is_signed = true, .levels = 5},
    {.name = "colour", .columns = 200, .rows = 150, .samples = 3, .bits = 8, .levels = 5},
    {.name = "plain colour",
     .columns = 90,
     .rows = 70,
     .samples = 3,
     .bits = 12,
     .levels = 3,
     .is_plain = true},
    {.name = "one pixel", .columns = 1, .rows = 1, .samples = 1, .bits = 8, .levels = 0},
    {.name = "one pixel, levels", .columns = 1, .rows = 1, .samples = 1, .bits = 12, .levels = 5},
    {.name = "one odd pixel",
     .columns = 1,
     .rows = 1,
     .samples = 1,
     .bits = 12,
     .x0 = 1,
     .y0 = 1,
     .levels = 2},
    {.name = "a column", .columns = 1, .rows = 77, .samples = 1, .bits = 12, .levels = 4},
    {.name = "a row", .columns = 77, .rows = 1, .samples = 1, .bits = 12, .levels = 4},
    {.name = "an odd column",
     .columns = 1,
     .rows = 77,
     .samples = 1,
     .bits = 12,
     .x0 = 3,
     .y0 = 5,
     .levels = 4},
    {.name = "an odd row", .columns = 77, .rows = 1, .samples = 1, .bits = 12, .x0 = 3, .y0 = 5, .levels = 4},
    {.name = "ten levels", .columns = 300, .rows = 200, .samples = 1, .bits = 16, .levels = 10},
    {.name = "wide blocks",
     .columns = 1100,
     .rows = 9,
     .samples = 1,
     .bits = 12,
     .levels = 1,
     .block_columns = 1024,
     .block_rows = 4},
    {.name = "high blocks",
     .columns = 9,
     .rows = 1100,
     .samples = 1,
     .bits = 12,
     .levels = 1,
     .block_columns = 4,
     .block_rows = 1024},
    {.name = "small blocks",
     .columns = 100,
     .rows = 99,
     .samples = 1,
     .bits = 12,
     .levels = 2,
     .block_columns = 4,
     .block_rows = 4},
    {.name = "tiles",
     .columns = 200,
     .rows = 150,
     .samples = 3,
     .bits = 8,
     .x0 = 7,
     .y0 = 9,
     .levels = 3,
     .tile_columns = 65,
     .tile_rows = 47,
     .tile_x0 = 5,
     .tile_y0 = 3},
    {.name = "layers", .columns = 128, .rows = 100, .samples = 1, .bits = 16, .levels = 3, .layers = 5},
    {.name = "lossy layers",
     .columns = 128,
     .rows = 100,
     .samples = 1,
     .bits = 16,
     .levels = 3,
     .layers = 4,
     .last_rate = 2},
    {.name = "markers",
     .columns = 128,
     .rows = 100,
     .samples = 1,
     .bits = 16,
     .levels = 3,
     .layers = 2,
     .has_sop = true,
     .has_eph = true},
    {.name = "parts of resolutions",
     .columns = 128,
     .rows = 100,
     .samples = 1,
     .bits = 12,
     .levels = 3,
     .order = OPJ_RLCP,
     .parts = 'R'},
    {.name = "parts of layers",
     .columns = 128,
     .rows = 100,
     .samples = 1,
     .bits = 12,
     .levels = 3,
     .layers = 3,
     .tile_columns = 64,
     .tile_rows = 64,
     .parts = 'L'},
    {.name = "parts of components",
     .columns = 128,
     .rows = 100,
     .samples = 3,
     .bits = 12,
     .levels = 3,
     .order = OPJ_CPRL,
     .parts = 'C'},
    {.name = "precincts, RPCL",
     .columns = 300,
     .rows = 200,
     .samples = 3,
     .bits = 8,
     .levels = 3,
     .order = OPJ_RPCL,
     .precinct = 64},
    {.name = "precincts, PCRL",
     .columns = 300,
     .rows = 200,
     .samples = 3,
     .bits = 8,
     .x0 = 33,
     .y0 = 65,
     .levels = 3,
     .order = OPJ_PCRL,
     .precinct = 64},
    {.name = "precincts, CPRL",
     .columns = 300,
     .rows = 200,
     .samples = 3,
     .bits = 8,
     .levels = 3,
     .order = OPJ_CPRL,
     .precinct = 32},
};

static void test_shapes(void **state)
{
    struct sink *sink = *state;
    for (size_t i = 0; i < sizeof encodings / sizeof encodings[0]; i++)
        check_lossless(&encodings[i], i + 1, sink);
}

static void test_depths(void **state)
{
    for (uint32_t bits = 2; bits <= 16; bits++)
        for (uint32_t samples = 1; samples <= 3; samples += 2)
            for (uint32_t is_signed = 0; is_signed < 2; is_signed++) {
                const struct encoding how = {.name = "depth",
                                             .columns = 67,
                                             .rows = 45,
                                             .samples = samples,
                                             .bits = bits,
                                             .is_signed = is_signed == 1,
                                             .levels = 3};
                check_lossless(&how, bits, *state);
            }
}

static struct encoding random_encoding(uint64_t *seed)
{
    static const uint32_t sides[][2] = {{64, 64}, {32, 32}, {4, 4}, {16, 128}, {128, 8}, {8, 16}};
    const uint32_t side = dice(seed, 6);
    struct encoding how = {.name = "random",
                           .columns = 1 + dice(seed, 90),
                           .rows = 1 + dice(seed, 90),
                           .samples = dice(seed, 3) == 0 ? 3 : 1,
                           .bits = 2 + dice(seed, 15),
                           .is_signed = dice(seed, 2) == 0,
                           .levels = dice(seed, 6),
                           .order = (OPJ_PROG_ORDER)dice(seed, 5),
                           .block_columns = sides[side][0],
                           .block_rows = sides[side][1],
                           .layers = 1 + dice(seed, 3) * dice(seed, 2),
                           .last_rate = dice(seed, 4) == 0 ? 2.5F : 0,
                           .has_sop = dice(seed, 4) == 0,
                           .has_eph = dice(seed, 4) == 0,
                           .is_plain = dice(seed, 3) == 0};
    if (dice(seed, 3) == 0)
        how.precinct = 16u << dice(seed, 3);
    /* With tile-parts OpenJPEG writes packets for resolutions that have no samples. */
    if (dice(seed, 4) == 0) {
        how.parts = "RLC"[dice(seed, 3)];
        return how;
    }
    if (dice(seed, 2) == 0) {
        how.x0 = dice(seed, 20);
        how.y0 = dice(seed, 20);
    }
    if (dice(seed, 3) == 0) {
        how.tile_x0 = dice(seed, how.x0 + 1);
        how.tile_y0 = dice(seed, how.y0 + 1);
        how.tile_columns = how.x0 - how.tile_x0 + (1u << how.levels) + dice(seed, 60);
        how.tile_rows = how.y0 - how.tile_y0 + (1u << how.levels) + dice(seed, 60);
    }
    return how;
}

static void test_random_shapes(void **state)
{
    struct codec_samples out = {0};
    uint64_t seed = 1;
    int encoded = 0;
    for (int i = 0; i < RANDOM_SHAPES; i++) {
        const struct encoding how = random_encoding(&seed);
        if (!encode(&how, seed, *state))
            continue;
        check_whole(&how, seed, *state, &out);
        encoded++;
    }
    assert_in_range(encoded, RANDOM_SHAPES * 3 / 4, RANDOM_SHAPES);
    codec_samples_clear(&out);
}

/* ---- damaged ones ---------------------------------------------------------------------------------------
 */

/* Nothing that OpenJPEG refuses, and no other samples. */
static bool check_damaged(const struct encoding *how, const uint8_t *stream, size_t length)
{
    struct codec_samples out = {0};
    const struct codec_frame frame = frame_of(how);
    const enum twin twin = jpeg2000_twin(stream, length, &frame, &out);
    codec_samples_clear(&out);
    if (twin == TWIN_REFUSED || twin == TWIN_DIFFERENT)
        fail_msg("a damaged stream of %u x %u of %u, %u bits, %u levels: %s", how->columns, how->rows,
                 how->samples, how->bits, how->levels,
                 twin == TWIN_REFUSED ? "refused by OpenJPEG" : "different");
    return twin == TWIN_EQUAL;
}

static void test_damaged(void **state)
{
    struct sink *sink = *state;
    uint64_t seed = 2;
    uint32_t decoded = 0;
    uint8_t *copy = test_malloc(STREAM_MOST);
    for (int i = 0; i < RANDOM_SHAPES; i++) {
        const struct encoding how = random_encoding(&seed);
        if (!encode(&how, seed, sink))
            continue;
        for (int k = 0; k < MUTATIONS; k++) {
            size_t length = sink->length;
            memcpy(copy, sink->bytes, length);
            for (uint32_t flips = dice(&seed, 3) + 1; flips > 0; flips--)
                copy[dice(&seed, (uint32_t)length)] ^= (uint8_t)(1u << dice(&seed, 8));
            if (dice(&seed, 4) == 0)
                copy[dice(&seed, (uint32_t)length)] = 0xFF;
            if (dice(&seed, 6) == 0)
                length -= dice(&seed, (uint32_t)length);
            decoded += check_damaged(&how, copy, length);
        }
    }
    /* Flipped bits of the coded data are seen by nobody. */
    assert_in_range(decoded, RANDOM_SHAPES * MUTATIONS / 10, RANDOM_SHAPES * MUTATIONS);
    test_free(copy);
}

/* Cut at each byte: what is not whole is left to OpenJPEG. */
static void test_cut(void **state)
{
    static const struct encoding how = {
        .name = "cut", .columns = 40, .rows = 30, .samples = 1, .bits = 12, .levels = 2, .layers = 2};
    struct sink *sink = *state;
    assert_true(encode(&how, 3, sink));
    for (size_t length = 0; length < sink->length; length++)
        assert_false(check_damaged(&how, sink->bytes, length));
    assert_true(check_damaged(&how, sink->bytes, sink->length));
}

static int set_up(void **state)
{
    static struct sink sink;
    sink.bytes = malloc(STREAM_MOST);
    *state = &sink;
    return sink.bytes == NULL;
}

static int tear_down(void **state)
{
    struct sink *sink = *state;
    free(sink->bytes);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),  cmocka_unit_test(test_depths), cmocka_unit_test(test_random_shapes),
        cmocka_unit_test(test_damaged), cmocka_unit_test(test_cut),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
