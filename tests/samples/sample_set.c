/* sample_set.c: the modules common to all objects (PS3.3 C.7, C.12) and the files' places. */
#include "tests/samples/sample_set.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/alloc.h"

static void stop(const char *what, const char *path)
{
    fprintf(stderr, "niffler-png-samples: cannot %s '%s': %s\n", what, path, strerror(errno));
    exit(3);
}

void sample_put_uid(const struct sample_set *set, struct dataset *ds, uint32_t tag, const char *label)
{
    struct random rng = {random_seed_of(set->seed, label)};
    unsigned __int128 number = (unsigned __int128)random_next(&rng) << 64 | random_next(&rng);
    /* Version 4 and variant 1 of RFC 4122, since the number is a UUID. */
    number &= ~((unsigned __int128)0xF000 << 64 | (unsigned __int128)3 << 62);
    number |= (unsigned __int128)0x4000 << 64 | (unsigned __int128)2 << 62;
    char digits[40];
    size_t at = sizeof(digits) - 1;
    digits[at] = '\0';
    for (; number > 0; number /= 10)
        digits[--at] = (char)('0' + (int)(number % 10));
    dataset_put_format(ds, tag, "UI", "2.25.%s", digits + at);
}

static void put_labelled_uid(const struct sample_set *set, struct dataset *ds, uint32_t tag,
                             const char *format, ...) PRINTF_LIKE(4, 5);

static void put_labelled_uid(const struct sample_set *set, struct dataset *ds, uint32_t tag,
                             const char *format, ...)
{
    char label[256];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(label, sizeof(label), format, arguments);
    va_end(arguments);
    sample_put_uid(set, ds, tag, label);
}

static void put_patient_and_study(const struct sample_set *set, const struct sample_series *series,
                                  struct dataset *ds)
{
    const struct sample_patient *patient = series->patient;
    dataset_put_text(ds, TAG(0x0010, 0x0010), "PN", patient->name);
    dataset_put_text(ds, TAG(0x0010, 0x0020), "LO", patient->id);
    dataset_put_text(ds, TAG(0x0010, 0x0030), "DA", patient->birth_date);
    dataset_put_text(ds, TAG(0x0010, 0x0040), "CS", patient->sex);
    dataset_put_text(ds, TAG(0x0010, 0x1010), "AS", patient->age);

    put_labelled_uid(set, ds, TAG(0x0020, 0x000D), "study/%s/%s", patient->folder, series->study);
    dataset_put_text(ds, TAG(0x0008, 0x0020), "DA", series->study_date);
    dataset_put_text(ds, TAG(0x0008, 0x0030), "TM", "093015");
    dataset_put_format(ds, TAG(0x0008, 0x0050), "SH", "A%s", series->study_date);
    dataset_put_text(ds, TAG(0x0008, 0x0090), "PN", "Referrer^Robin");
    dataset_put_text(ds, TAG(0x0008, 0x1030), "LO", series->study_description);
    dataset_put_text(ds, TAG(0x0020, 0x0010), "SH", "1");
}

static void put_series_and_equipment(const struct sample_set *set, const struct sample_series *series,
                                     struct dataset *ds)
{
    put_labelled_uid(set, ds, TAG(0x0020, 0x000E), "series/%s/%s/%s", series->patient->folder, series->study,
                     series->series);
    dataset_put_text(ds, TAG(0x0008, 0x0060), "CS", series->modality);
    dataset_put_text(ds, TAG(0x0008, 0x0021), "DA", series->study_date);
    dataset_put_text(ds, TAG(0x0008, 0x0031), "TM", "093412.250");
    dataset_put_text(ds, TAG(0x0008, 0x103E), "LO", series->series_description);
    dataset_put_text(ds, TAG(0x0018, 0x0015), "CS", series->body_part);
    dataset_put_format(ds, TAG(0x0020, 0x0011), "IS", "%d", series->series_number);
    dataset_put_text(ds, TAG(0x0008, 0x0070), "LO", "Fictive Imaging");
    dataset_put_text(ds, TAG(0x0008, 0x0080), "LO", "Invented General Hospital");
    dataset_put_text(ds, TAG(0x0008, 0x1010), "SH", "ROOM3");
    dataset_put_text(ds, TAG(0x0008, 0x1090), "LO", "Phantom 1");
    dataset_put_text(ds, TAG(0x0018, 0x1000), "LO", "000451");
    dataset_put_text(ds, TAG(0x0018, 0x1020), "LO", "1.0");
}

struct dataset *sample_new(const struct sample_set *set, const struct sample_series *series,
                           unsigned instance)
{
    struct dataset *ds = dataset_new();
    put_patient_and_study(set, series, ds);
    put_series_and_equipment(set, series, ds);
    dataset_put_text(ds, TAG(0x0008, 0x0005), "CS", "ISO_IR 100");
    dataset_put_text(ds, TAG(0x0008, 0x0016), "UI", series->sop_class);
    put_labelled_uid(set, ds, TAG(0x0008, 0x0018), "instance/%s/%s/%s/%u", series->patient->folder,
                     series->study, series->series, instance);
    dataset_put_format(ds, TAG(0x0020, 0x0013), "IS", "%u", instance);
    dataset_put_text(ds, TAG(0x0008, 0x0023), "DA", series->study_date);
    dataset_put_format(ds, TAG(0x0008, 0x0033), "TM", "0935%02u", instance % 60);
    return ds;
}

struct random sample_random(const struct sample_set *set, const struct sample_series *series,
                            unsigned instance)
{
    char label[256];
    (void)snprintf(label, sizeof(label), "noise/%s/%s/%s/%u", series->patient->folder, series->study,
                   series->series, instance);
    return (struct random){random_seed_of(set->seed, label)};
}

void sample_put_pixel_module(struct dataset *ds, const struct sample_pixels *pixels)
{
    dataset_put_u16(ds, TAG(0x0028, 0x0002), pixels->samples);
    dataset_put_text(ds, TAG(0x0028, 0x0004), "CS", pixels->photometric);
    if (pixels->samples > 1)
        dataset_put_u16(ds, TAG(0x0028, 0x0006), pixels->planar);
    if (pixels->frames > 0)
        dataset_put_format(ds, TAG(0x0028, 0x0008), "IS", "%u", pixels->frames);
    dataset_put_u16(ds, TAG(0x0028, 0x0010), pixels->rows);
    dataset_put_u16(ds, TAG(0x0028, 0x0011), pixels->columns);
    dataset_put_u16(ds, TAG(0x0028, 0x0100), pixels->bits_allocated);
    dataset_put_u16(ds, TAG(0x0028, 0x0101), pixels->bits_stored);
    dataset_put_u16(ds, TAG(0x0028, 0x0102), (uint16_t)(pixels->bits_stored - 1));
    dataset_put_u16(ds, TAG(0x0028, 0x0103), pixels->is_signed ? 1 : 0);
}

void sample_put_pixels(struct dataset *ds, const struct sample_pixels *pixels, const void *bytes,
                       size_t length)
{
    sample_put_pixel_module(ds, pixels);
    dataset_put_bytes(ds, TAG(0x7FE0, 0x0010), pixels->bits_allocated > 8 ? "OW" : "OB", bytes, length);
}

void sample_put_canvas(struct dataset *ds, const struct sample_pixels *pixels, const struct canvas *canvas)
{
    assert(pixels->bits_allocated == 8 || pixels->bits_allocated == 16);
    struct buffer bytes = {0};
    char *to = buffer_reserve(&bytes, canvas_count(canvas) * 2);
    for (size_t i = 0; i < canvas_count(canvas); i++) {
        uint32_t value = (uint32_t)canvas->values[i];
        *to++ = (char)(unsigned char)value;
        if (pixels->bits_allocated == 16)
            *to++ = (char)(unsigned char)(value >> 8);
    }
    sample_put_pixels(ds, pixels, bytes.data, canvas_count(canvas) * pixels->bits_allocated / 8);
    buffer_clear(&bytes);
}

void sample_put_code(struct dataset *ds, uint32_t tag, const char *value, const char *scheme,
                     const char *meaning)
{
    struct dataset *item = dataset_add_item(ds, tag);
    dataset_put_text(item, TAG(0x0008, 0x0100), "SH", value);
    dataset_put_text(item, TAG(0x0008, 0x0102), "SH", scheme);
    dataset_put_text(item, TAG(0x0008, 0x0104), "LO", meaning);
}

static void make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0755) != 0 && errno != EEXIST)
            stop("make the folder", path);
        *slash = '/';
    }
}

void sample_write_path(const struct sample_set *set, const char *relative, const char *bytes, size_t length)
{
    char *path = xasprintf("%s/%s", set->folder, relative);
    make_folders(path);
    FILE *out = fopen(path, "wbe");
    if (out == NULL)
        stop("write", path);
    else if (fwrite(bytes, 1, length, out) != length || fclose(out) != 0)
        stop("write", path);
    free(path);
}

void sample_write_bytes(struct sample_set *set, const struct sample_series *series, const char *file,
                        const char *bytes, size_t length, const char *expectation, unsigned frames)
{
    char *relative = xasprintf("%s/%s/%s/%s", series->patient->folder, series->study, series->series, file);
    sample_write_path(set, relative, bytes, length);
    if (set->manifest != NULL)
        fprintf(set->manifest, "%s\t%s\t%s\t%u\t%s\n", relative, set->group, expectation, frames,
                series->patient->name_utf8);
    set->written++;
    free(relative);
}

void sample_append_file(const struct dataset *ds, enum sample_syntax syntax, enum sample_shape shape,
                        struct buffer *out)
{
    if (shape == SAMPLE_PART10) {
        memset(buffer_reserve(out, 128), 0, 128);
        out->length += 128;
    }
    if (shape != SAMPLE_DATASET_ONLY) {
        struct buffer meta = {0};
        dataset_append_meta(ds, syntax, &meta);
        size_t skip = shape == SAMPLE_PART10 ? 0 : strlen("DICM");
        buffer_append(out, meta.data + skip, meta.length - skip);
        buffer_clear(&meta);
    }
    if (syntax == SAMPLE_DEFLATED) {
        struct buffer plain = {0};
        dataset_append(ds, syntax, &plain);
        dataset_append_deflated(&plain, out);
        buffer_clear(&plain);
    } else {
        dataset_append(ds, syntax, out);
    }
}

static unsigned frames_of(const struct dataset *ds)
{
    size_t length = 0;
    const char *frames = dataset_value(ds, TAG(0x0028, 0x0008), &length);
    if (frames != NULL) {
        unsigned count = 0;
        for (size_t i = 0; i < length && frames[i] != ' '; i++)
            count = count * 10 + (unsigned)(frames[i] - '0');
        return count;
    }
    return dataset_value(ds, TAG(0x0028, 0x0010), &length) != NULL ? 1 : 0;
}

void sample_write_named(struct sample_set *set, const struct sample_series *series, const char *file,
                        struct dataset *ds, enum sample_syntax syntax, enum sample_shape shape,
                        const char *expectation)
{
    struct buffer bytes = {0};
    sample_append_file(ds, syntax, shape, &bytes);
    sample_write_bytes(set, series, file, bytes.data, bytes.length, expectation, frames_of(ds));
    buffer_clear(&bytes);
    dataset_free(ds);
}

void sample_write(struct sample_set *set, const struct sample_series *series, unsigned instance,
                  struct dataset *ds, enum sample_syntax syntax)
{
    char file[32];
    (void)snprintf(file, sizeof(file), "IM%04u.dcm", instance);
    const char *expectation = frames_of(ds) > 0 ? "image" : "no_image";
    sample_write_named(set, series, file, ds, syntax, SAMPLE_PART10, expectation);
}
