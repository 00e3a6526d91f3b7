/* What can be done with the one file that may be written; and pictures that are none. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/buffer.h"
#include "tests/takeover/takeover.h"

static bool try_long_file(const struct scene *scene)
{
    return pwrite(scene->descriptor, "x", 1, (off_t)1 << 36) == 1;
}

/* By write(), since there is no other call for it: pwrite() is not on the list. */
static bool try_long_file_by_seeking(const struct scene *scene)
{
    return lseek(scene->descriptor, (off_t)1 << 36, SEEK_SET) > 0 && write(scene->descriptor, "x", 1) == 1;
}

static bool try_cut(const struct scene *scene)
{
    return ftruncate(scene->descriptor, 0) == 0;
}

static bool try_allocate(const struct scene *scene)
{
    return fallocate(scene->descriptor, 0, 0, 65536) == 0;
}

static bool try_permissions(const struct scene *scene)
{
    return fchmod(scene->descriptor, 06777) == 0;
}

static bool try_lock(const struct scene *scene)
{
    return flock(scene->descriptor, LOCK_EX) == 0;
}

static bool try_map_output(const struct scene *scene)
{
    return write(scene->descriptor, "x", 1) == 1 &&
           mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, scene->descriptor, 0) != MAP_FAILED;
}

static bool try_sync(const struct scene *scene)
{
    return syncfs(scene->descriptor) == 0;
}

const struct attempt attempts_on_output[] = {
    {"long-file", try_long_file},
    {"long-file-by-seeking", try_long_file_by_seeking},
    {"cut", try_cut},
    {"allocate", try_allocate},
    {"permissions", try_permissions},
    {"lock", try_lock},
    {"map-output", try_map_output},
    {"sync", try_sync},
    {NULL, NULL},
};

/* ---- pictures ---- */

static void append_u32(struct buffer *out, uint32_t value)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        buffer_append_char(out, (char)(unsigned char)(value >> shift));
}

static void append_chunk(struct buffer *out, const char *type, const void *body, size_t length)
{
    uint32_t sum = UINT32_MAX;
    append_u32(out, (uint32_t)length);
    size_t start = out->length;
    buffer_append(out, type, 4);
    buffer_append(out, body, length);
    for (size_t i = start; i < out->length; i++) {
        sum ^= (unsigned char)out->data[i];
        for (int bit = 0; bit < 8; bit++)
            sum = sum >> 1 ^ ((sum & 1) != 0 ? 0xedb88320u : 0);
    }
    append_u32(out, ~sum);
}

/* Right in all that the worker looks at. */
static void make(struct buffer *out, uint32_t columns, uint32_t rows, unsigned depth, unsigned colour)
{
    struct buffer header = {0};
    append_u32(&header, columns);
    append_u32(&header, rows);
    const char rest[] = {(char)depth, (char)colour, 0, 0, 0};
    buffer_append(&header, rest, sizeof rest);
    buffer_append(out, "\x89PNG\r\n\x1a\n", 8);
    append_chunk(out, "IHDR", header.data, header.length);
    append_chunk(out, "IDAT", "nothing", 7);
    append_chunk(out, "IEND", "", 0);
    buffer_clear(&header);
}

static void put(int output, struct buffer *bytes, uint64_t *written)
{
    *written = write(output, bytes->data, bytes->length) == (ssize_t)bytes->length ? bytes->length : 0;
    buffer_clear(bytes);
}

static void write_text(int output, const struct pngout_shape *shape, uint64_t *written)
{
    struct buffer out = {0};
    (void)shape;
    for (int i = 0; i < 100; i++)
        buffer_append_text(&out, "=cmd|' /C calc'!A0\n");
    put(output, &out, written);
}

static void write_nothing(int output, const struct pngout_shape *shape, uint64_t *written)
{
    (void)output;
    (void)shape;
    *written = 0;
}

static void claim_more(int output, const struct pngout_shape *shape, uint64_t *written)
{
    struct buffer out = {0};
    make(&out, shape->width, shape->height, 8, 0);
    put(output, &out, written);
    *written += 1;
}

static void claim_less(int output, const struct pngout_shape *shape, uint64_t *written)
{
    claim_more(output, shape, written);
    *written -= 2;
}

static void claim_very_much(int output, const struct pngout_shape *shape, uint64_t *written)
{
    claim_more(output, shape, written);
    *written = UINT64_MAX;
}

static void write_other_size(int output, const struct pngout_shape *shape, uint64_t *written)
{
    struct buffer out = {0};
    make(&out, shape->width + 1, shape->height, 8, 0);
    put(output, &out, written);
}

static void write_huge(int output, const struct pngout_shape *shape, uint64_t *written)
{
    struct buffer out = {0};
    (void)shape;
    make(&out, 0x7fffffff, 0x7fffffff, 8, 0);
    put(output, &out, written);
}

static void write_palette(int output, const struct pngout_shape *shape, uint64_t *written)
{
    struct buffer out = {0};
    make(&out, shape->width, shape->height, 8, 3);
    put(output, &out, written);
}

static void write_without_end(int output, const struct pngout_shape *shape, uint64_t *written)
{
    struct buffer out = {0};
    make(&out, shape->width, shape->height, 8, 0);
    buffer_truncate(&out, out.length - 1);
    put(output, &out, written);
}

static void write_with_more_behind(int output, const struct pngout_shape *shape, uint64_t *written)
{
    struct buffer out = {0};
    make(&out, shape->width, shape->height, 8, 0);
    buffer_append_text(&out, "#!/bin/sh\n");
    put(output, &out, written);
}

static void write_bad_checksum(int output, const struct pngout_shape *shape, uint64_t *written)
{
    struct buffer out = {0};
    make(&out, shape->width, shape->height, 8, 0);
    out.data[29] = (char)(out.data[29] ^ 1);
    put(output, &out, written);
}

/* As soon as the worker has been told of the picture; with confinement, of a call that ends us. */
static void cut_afterwards(int output, const struct pngout_shape *shape, uint64_t *written)
{
    struct buffer out = {0};
    make(&out, shape->width, shape->height, 8, 0);
    put(output, &out, written);
    if (ftruncate(output, 20) != 0)
        _exit(1); /* then it is another lie */
}

const struct picture_lie picture_lies[] = {
    {"picture-text", write_text},
    {"picture-nothing", write_nothing},
    {"picture-claim-more", claim_more},
    {"picture-claim-less", claim_less},
    {"picture-claim-very-much", claim_very_much},
    {"picture-other-size", write_other_size},
    {"picture-huge", write_huge},
    {"picture-palette", write_palette},
    {"picture-without-end", write_without_end},
    {"picture-more-behind", write_with_more_behind},
    {"picture-bad-checksum", write_bad_checksum},
    {"picture-cut-afterwards", cut_afterwards},
    {NULL, NULL},
};
