/* Our decoder of JPEG 2000 and OpenJPEG decode the same streams, and many that were changed: what ours takes
 * OpenJPEG takes too, to the same samples.
 *
 *     test_jpeg2000 FOLDER COUNT         all codestreams in the files below FOLDER, each changed COUNT times
 *     test_jpeg2000 corpus FOLDER COUNT  FOLDER/dicom, or of NIFFLER_SHARED; exit status 77 where it is not
 * there
 *
 * A codestream begins with SOC and SIZ, and ends with its item or its file. */
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/alloc.h"
#include "tests/differential/mutate.h"
#include "tests/unit/jpeg2000_twin.h"
#include "worker/decoder/codec/jpeg2000_header.h"

#define FILE_MOST (64 << 20)
#define PIXELS_MOST ((uint64_t)1 << 24)
#define PIXELS_CHANGED ((uint64_t)1 << 16) /* more take too long to be decoded many times */

struct test {
    uint32_t changes;
    struct dice dice;
    unsigned long streams, ours, changed, changed_ours, wrong;
};

static uint32_t u32_little(const uint8_t *bytes)
{
    return (uint32_t)bytes[3] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[1] << 8 | bytes[0];
}

static bool compare(struct test *test, const char *path, const uint8_t *stream, size_t length,
                    const struct codec_frame *frame)
{
    struct codec_samples out = {0};
    const enum twin twin = jpeg2000_twin(stream, length, frame, &out);
    codec_samples_clear(&out);
    if (twin == TWIN_REFUSED || twin == TWIN_DIFFERENT) {
        printf("%s: %s\n", path, twin == TWIN_REFUSED ? "refused by OpenJPEG, not by us" : "other samples");
        test->wrong++;
    }
    return twin == TWIN_EQUAL;
}

static void compare_changed(struct test *test, const char *path, const uint8_t *stream, size_t length,
                            const struct codec_frame *frame)
{
    uint8_t *copy = xmalloc(length);
    for (uint32_t i = 0; i < test->changes; i++) {
        size_t kept = length;
        memcpy(copy, stream, length);
        for (uint64_t flips = dice_roll(&test->dice, 3) + 1; flips > 0; flips--)
            copy[dice_roll(&test->dice, length)] ^= (uint8_t)(1u << dice_roll(&test->dice, 8));
        if (dice_roll(&test->dice, 8) == 0)
            kept -= dice_roll(&test->dice, length);
        test->changed++;
        test->changed_ours += compare(test, path, copy, kept, frame);
    }
    free(copy);
}

static void compare_stream(struct test *test, const char *path, const uint8_t *stream, size_t length)
{
    struct jpeg2000_size size;
    if (!jpeg2000_header_read(stream, length, &size) || size.rows * size.columns > PIXELS_MOST ||
        size.rows == 0 || size.columns == 0 || size.components > 4)
        return;
    const struct codec_frame frame = {.rows = (uint32_t)size.rows,
                                      .columns = (uint32_t)size.columns,
                                      .samples = size.components,
                                      .bits_allocated = 16,
                                      .bits_stored = 16};
    test->streams++;
    test->ours += compare(test, path, stream, length, &frame);
    if (size.rows * size.columns <= PIXELS_CHANGED)
        compare_changed(test, path, stream, length, &frame);
}

static void compare_file(struct test *test, const char *path, size_t size)
{
    static const uint8_t start[] = {0xFF, 0x4F, 0xFF, 0x51}, item[] = {0xFE, 0xFF, 0x00, 0xE0};
    uint8_t *bytes = xmalloc(size);
    FILE *file = fopen(path, "rb");
    if (file == NULL || fread(bytes, 1, size, file) != size) {
        printf("%s: cannot be read\n", path);
        test->wrong++;
    }
    if (file != NULL)
        (void)fclose(file);
    for (size_t at = 0; at < size; at += sizeof start) {
        const uint8_t *stream = memmem(bytes + at, size - at, start, sizeof start);
        if (stream == NULL)
            break;
        at = (size_t)(stream - bytes);
        size_t length = size - at;
        if (at >= 8 && memcmp(stream - 8, item, sizeof item) == 0 && u32_little(stream - 4) < length)
            length = u32_little(stream - 4);
        compare_stream(test, path, stream, length);
    }
    free(bytes);
}

static bool compare_folder(struct test *test, char *folder)
{
    char *const folders[] = {folder, NULL};
    FTS *tree = fts_open(folders, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (tree == NULL)
        return false;
    for (FTSENT *entry; (entry = fts_read(tree)) != NULL;)
        if (entry->fts_info == FTS_F && entry->fts_statp->st_size > 0 &&
            entry->fts_statp->st_size <= FILE_MOST)
            compare_file(test, entry->fts_path, (size_t)entry->fts_statp->st_size);
    return fts_close(tree) == 0;
}

int main(int argc, char **argv)
{
    struct test test = {.dice = {1}};
    struct stat info;
    const bool is_corpus = argc == 4 && strcmp(argv[1], "corpus") == 0;
    if (argc != 3 && !is_corpus) {
        (void)fprintf(stderr, "usage: test_jpeg2000 [corpus] FOLDER COUNT\n");
        return 2;
    }
    const char *shared = getenv("NIFFLER_SHARED");
    char *folder = is_corpus ? xasprintf("%s/dicom", shared != NULL ? shared : argv[2]) : xstrdup(argv[1]);
    if (is_corpus && stat(folder, &info) != 0) {
        printf("no corpus beside the checkout (%s): not run\n", folder);
        free(folder);
        return 77;
    }
    test.changes = (uint32_t)strtoul(argv[argc - 1], NULL, 10);
    bool ok = compare_folder(&test, folder);
    printf("%lu streams, %lu decoded by us; %lu changed ones, %lu decoded by us; %lu wrong\n", test.streams,
           test.ours, test.changed, test.changed_ours, test.wrong);
    /* A test that compares nothing must not pass. */
    ok = ok && test.wrong == 0 && test.ours * 4 >= test.streams && test.ours > 0 && test.changed_ours > 0;
    free(folder);
    return ok ? 0 : 1;
}
