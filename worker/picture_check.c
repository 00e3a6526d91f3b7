#include "worker/picture_check.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* PNG, second edition: 5.2 signature, 5.3 chunks, 11.2.2 IHDR. */
#define HEAD_BYTES 33                                 /* signature, and IHDR with its length and checksum */
#define TAIL_BYTES 12                                 /* IEND */
#define SMALLEST_BYTES (HEAD_BYTES + 12 + TAIL_BYTES) /* an IDAT chunk stands between */
#define GREY 0
#define RGB 2

static uint32_t big_endian(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Annex D, bit by bit: there are 17 bytes. */
static uint32_t checksum(const uint8_t *bytes, size_t length)
{
    uint32_t sum = UINT32_MAX;
    for (size_t i = 0; i < length; i++) {
        sum ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            sum = (sum >> 1) ^ ((sum & 1) != 0 ? 0xedb88320u : 0);
    }
    return ~sum;
}

static bool read_at(int descriptor, uint64_t offset, uint8_t *bytes, size_t length, struct error *err)
{
    for (size_t done = 0; done < length;) {
        ssize_t count = pread(descriptor, bytes + done, length - done, (off_t)(offset + done));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return error_errno(err, ERROR_RETRY, "cannot read a picture in the output folder");
        if (count == 0)
            return error_input(err, CATEGORY_DECODER, CODE_DECODER_PROTOCOL, "the picture became shorter");
        done += (size_t)count;
    }
    return true;
}

/* What is wrong with the first bytes; NULL: nothing. */
static const char *fault_of_head(const uint8_t *head, const struct wire_frame *frame,
                                 const struct options *options)
{
    static const uint8_t begin[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n',
                                    0,    0,   0,   13,  'I',  'H',  'D',  'R'};
    const uint8_t *body = head + sizeof begin; /* columns, rows, depth, colour, three zeros */
    if (memcmp(head, begin, sizeof begin) != 0)
        return "is no PNG";
    if (big_endian(body + 13) != checksum(body - 4, 17))
        return "has a damaged header";
    if (frame->columns == 0 || frame->rows == 0 || big_endian(body) != frame->columns ||
        big_endian(body + 4) != frame->rows)
        return "has not the columns and rows reported";
    if ((uint64_t)frame->columns * frame->rows > options->max_pixels)
        return "has more than MaxPixels";
    if ((body[8] != 8 && body[8] != 16) || (body[9] != GREY && body[9] != RGB) || body[10] != 0 ||
        body[11] != 0 || body[12] != 0)
        return "is of a kind that no decoder writes";
    return NULL;
}

bool picture_check(int descriptor, const struct wire_frame *frame, const struct options *options,
                   struct error *err)
{
    static const uint8_t end[TAIL_BYTES] = {0, 0, 0, 0, 'I', 'E', 'N', 'D', 0xae, 0x42, 0x60, 0x82};
    uint8_t head[HEAD_BYTES], tail[TAIL_BYTES];
    struct stat status;
    if (fstat(descriptor, &status) != 0)
        return error_errno(err, ERROR_RETRY, "cannot look at a picture in the output folder");
    if ((uint64_t)status.st_size != frame->png_bytes || frame->png_bytes < SMALLEST_BYTES)
        return error_input(err, CATEGORY_DECODER, CODE_DECODER_PROTOCOL,
                           "the picture has not the size reported");
    if (!read_at(descriptor, 0, head, sizeof head, err) ||
        !read_at(descriptor, frame->png_bytes - sizeof tail, tail, sizeof tail, err))
        return false;
    const char *fault = fault_of_head(head, frame, options);
    if (fault == NULL && memcmp(tail, end, sizeof end) != 0)
        fault = "has no end";
    return fault == NULL ||
           error_input(err, CATEGORY_DECODER, CODE_DECODER_PROTOCOL, "the picture %s", fault);
}
