/* replay ROUNDS FOLDER...: run a fuzz target over its corpora, each file as it is, cut at many places, and
 * changed in ROUNDS ways from a fixed seed, by the target's own mutator where it has one. Crashes and
 * sanitizer reports fail it; so does an empty corpus. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutators.h"

#define FILE_BYTES_MAX (1u << 20)
#define GROWTH_BYTES 4096u
#define CUTS 23

#pragma weak LLVMFuzzerCustomMutator

static uint64_t state = 20261123;

/* xorshift64*: the same everywhere. */
static uint64_t dice(uint64_t below)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 2685821657736338717u % below;
}

/* A copy that ends where its memory ends, so that a sanitizer sees the first byte beyond. */
static void run_copy(const uint8_t *bytes, size_t length)
{
    uint8_t *copy = xmalloc(length);
    if (length > 0)
        memcpy(copy, bytes, length);
    (void)LLVMFuzzerTestOneInput(copy, length);
    free(copy);
}

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most)
{
    static const uint8_t edges[] = {0x00, 0xff, 0x7f, 0x80, 0xfe, 0x01};
    if (size == 0) {
        if (most > 0)
            data[size++] = (uint8_t)dice(256);
        return size;
    }
    size_t at = (size_t)dice(size), count = 1 + (size_t)dice(16);
    switch (dice(8)) {
    case 0:
    case 1:
        data[at] ^= (uint8_t)(1u << dice(8));
        break;
    case 2:
    case 3:
        data[at] = edges[dice(sizeof edges)];
        break;
    case 4:
    case 5:
        data[at] = (uint8_t)dice(256);
        break;
    case 6:
        if (count > size - at)
            count = size - at;
        memmove(data + at, data + at + count, size - at - count);
        size -= count;
        break;
    default:
        if (count > size - at)
            count = size - at;
        if (size + count <= most) {
            memmove(data + at + count, data + at, size - at);
            size += count;
        }
    }
    return size;
}

static void run_changed(const uint8_t *bytes, size_t length)
{
    size_t most = length + GROWTH_BYTES;
    uint8_t *copy = xmalloc(most);
    memcpy(copy, bytes, length);
    for (uint64_t changes = 1 + dice(4); changes > 0; changes--)
        length = LLVMFuzzerCustomMutator != NULL
                     ? LLVMFuzzerCustomMutator(copy, length, most, (unsigned int)dice(1u << 31))
                     : LLVMFuzzerMutate(copy, length, most);
    run_copy(copy, length);
    free(copy);
}

static void run_file(const char *path, unsigned long rounds)
{
    static uint8_t bytes[FILE_BYTES_MAX];
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        (void)fprintf(stderr, "replay: cannot read '%s'\n", path);
        exit(1);
    }
    size_t length = fread(bytes, 1, sizeof bytes, file);
    (void)fclose(file);
    run_copy(bytes, length);
    for (size_t cut = 0; cut < length; cut += 1 + length / CUTS)
        run_copy(bytes, cut);
    for (unsigned long i = 0; i < rounds; i++)
        run_changed(bytes, length);
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* In the order of their names: the dice go on from file to file. */
static unsigned long run_folder(const char *folder, unsigned long rounds)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, is_visible, alphasort);
    if (count <= 0) {
        (void)fprintf(stderr, "replay: no corpus in '%s'\n", folder);
        exit(1);
    }
    for (int i = 0; i < count; i++) {
        char *path = xasprintf("%s/%s", folder, entries[i]->d_name);
        if (getenv("NIFFLER_REPLAY_VERBOSE") != NULL)
            (void)fprintf(stderr, "%s\n", path);
        run_file(path, rounds);
        free(path);
        free(entries[i]);
    }
    free(entries);
    return (unsigned long)count;
}

int main(int argc, char **argv)
{
    unsigned long count = 0, rounds = argc > 2 ? strtoul(argv[1], NULL, 10) : 0;
    if (argc < 3) {
        (void)fprintf(stderr, "usage: replay ROUNDS FOLDER...\n");
        return 2;
    }
    for (int i = 2; i < argc; i++)
        count += run_folder(argv[i], rounds);
    printf("%lu files, %lu changes of each\n", count, rounds);
    return 0;
}
