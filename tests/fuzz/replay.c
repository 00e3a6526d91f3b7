/* replay CORPUS_FOLDER ROUNDS: run a fuzz target over its corpus, each file as it is, cut at many places, and
 * changed in ROUNDS ways from a fixed seed. Crashes and sanitizer reports fail it; so does an empty corpus.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "tests/fuzz/fuzz.h"

#define FILE_BYTES_MAX (1u << 20)

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

static void run_changed(const uint8_t *bytes, size_t length)
{
    static const uint8_t edges[] = {0x00, 0xff, 0x7f, 0x80, 0xfe, 0x01};
    uint8_t *copy = xmalloc(length);
    memcpy(copy, bytes, length);
    uint64_t changes = 1 + dice(4);
    for (uint64_t i = 0; i < changes; i++) {
        size_t at = (size_t)dice(length);
        switch (dice(3)) {
        case 0:
            copy[at] ^= (uint8_t)(1u << dice(8));
            break;
        case 1:
            copy[at] = edges[dice(sizeof edges)];
            break;
        default:
            copy[at] = (uint8_t)dice(256);
        }
    }
    (void)LLVMFuzzerTestOneInput(copy, length - (dice(4) == 0 ? (size_t)dice(length) : 0));
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
    for (size_t cut = 0; cut < length; cut += 1 + length / 257)
        run_copy(bytes, cut);
    for (unsigned long i = 0; length > 0 && i < rounds; i++)
        run_changed(bytes, length);
}

int main(int argc, char **argv)
{
    unsigned long count = 0, rounds = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    DIR *folder = argc == 3 ? opendir(argv[1]) : NULL;
    if (folder == NULL) {
        (void)fprintf(stderr, "usage: replay CORPUS_FOLDER ROUNDS\n");
        return 2;
    }
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        char *path = xasprintf("%s/%s", argv[1], entry->d_name);
        run_file(path, rounds);
        free(path);
        count++;
    }
    (void)closedir(folder);
    printf("%lu files, %lu changes of each\n", count, rounds);
    return count > 0 ? 0 : 1;
}
