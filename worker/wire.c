#include "worker/wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/utf8.h"

/* ---- writing ---- */

static void put_u8(struct buffer *out, unsigned value)
{
    buffer_append_char(out, (char)(unsigned char)value);
}

static void put_u32(struct buffer *out, uint32_t value)
{
    unsigned char bytes[4];
    for (int i = 0; i < 4; i++)
        bytes[i] = (unsigned char)(value >> (8 * i));
    buffer_append(out, bytes, sizeof bytes);
}

static void put_u64(struct buffer *out, uint64_t value)
{
    put_u32(out, (uint32_t)value);
    put_u32(out, (uint32_t)(value >> 32));
}

static void put_double(struct buffer *out, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_u64(out, bits);
}

static void put_text(struct buffer *out, const char *text)
{
    size_t length = strlen(text);
    put_u32(out, (uint32_t)length);
    buffer_append(out, text, length);
}

/* Leave room for the header; end_message() fills it in. */
static size_t begin_message(struct buffer *out, enum wire_type type)
{
    size_t start = out->length;
    put_u32(out, 0);
    put_u8(out, type);
    return start;
}

static void end_message(struct buffer *out, size_t start)
{
    uint32_t length = (uint32_t)(out->length - start - WIRE_HEADER_BYTES);
    for (int i = 0; i < 4; i++)
        out->data[start + (size_t)i] = (char)(unsigned char)(length >> (8 * i));
}

void wire_write_ready(struct buffer *out, const struct confinement *confinement)
{
    size_t start = begin_message(out, WIRE_READY);
    for (unsigned part = 0; part < CONFINEMENT_PARTS; part++) {
        put_u8(out, confinement->in_force[part]);
        put_u32(out, (uint32_t)confinement->number[part]);
    }
    put_u32(out, confinement->landlock_abi);
    end_message(out, start);
}

bool wire_has_more_frames(const struct options *options, uint32_t frames_there, uint32_t frame_index)
{
    return options->frames == FRAMES_ALL && !options->compatibility_niffler && frame_index + 1 < frames_there;
}

void wire_write_convert(struct buffer *out, const struct wire_convert *convert)
{
    const struct options *o = &convert->options;
    size_t start = begin_message(out, WIRE_CONVERT);
    put_u32(out, convert->number);
    put_u8(out, o->compatibility_niffler);
    put_u8(out, o->print_images);
    put_u8(out, o->is_16_bit);
    put_u8(out, o->public_headers_only);
    put_u8(out, o->invert_monochrome1);
    put_u8(out, o->pattern_given);
    put_u8(out, o->pixel_scaling);
    put_u8(out, o->window);
    put_u32(out, o->window_index);
    put_double(out, o->window_center);
    put_double(out, o->window_width);
    put_u8(out, o->overlays);
    put_u8(out, o->allow_truncated);
    put_u8(out, o->png_compression);
    put_u8(out, o->flattened_to_level);
    put_u8(out, o->value_format);
    put_u8(out, o->frames);
    put_u32(out, o->frame_number);
    put_u64(out, o->max_value_bytes);
    put_u64(out, o->max_pixels);
    put_u32(out, o->max_frames);
    put_u32(out, o->max_attributes);
    put_u32(out, o->max_nesting);
    put_u32(out, o->max_items);
    put_u64(out, o->max_metadata_bytes);
    put_u64(out, o->max_picture_bytes);
    put_u8(out, convert->has_output);
    put_u8(out, convert->rings);
    end_message(out, start);
}

void wire_write_frame_request(struct buffer *out, const struct wire_frame_request *request)
{
    size_t start = begin_message(out, WIRE_FRAME_REQUEST);
    put_u32(out, request->frame_index);
    put_u8(out, request->has_output);
    end_message(out, start);
}

static void put_failure(struct buffer *out, const struct wire_failure *failure)
{
    put_u8(out, failure->category);
    put_text(out, failure->code);
    put_text(out, failure->reason);
}

void wire_write_inspected(struct buffer *out, const struct wire_inspected *inspected)
{
    size_t start = begin_message(out, WIRE_INSPECTED);
    put_u32(out, inspected->number);
    put_u8(out, inspected->object);
    put_failure(out, &inspected->failure);
    put_u32(out, inspected->frame_count);
    put_u32(out, inspected->frames_there);
    put_u32(out, inspected->first_frame);
    put_u8(out, inspected->frame_follows);
    put_u8(out, inspected->header_cut);
    put_u8(out, inspected->guessed);
    put_text(out, inspected->transfer_syntax);
    put_u32(out, (uint32_t)inspected->elements_length);
    buffer_append(out, inspected->elements, inspected->elements_length);
    end_message(out, start);
}

void wire_write_frame(struct buffer *out, const struct wire_frame *frame)
{
    size_t start = begin_message(out, WIRE_FRAME);
    put_u32(out, frame->number);
    put_u32(out, frame->frame_index);
    put_failure(out, &frame->failure);
    put_u8(out, frame->is_decoded);
    put_u64(out, frame->png_bytes);
    put_u32(out, frame->columns);
    put_u32(out, frame->rows);
    put_double(out, frame->offset);
    put_double(out, frame->maximum);
    put_text(out, frame->scaling);
    put_text(out, frame->notes);
    end_message(out, start);
}

/* ---- reading ---- */

struct reader {
    const uint8_t *bytes;
    size_t length;
    size_t at;
    bool bad;
};

static const uint8_t *take(struct reader *in, size_t count)
{
    if (in->bad || in->length - in->at < count) {
        in->bad = true;
        return NULL;
    }
    in->at += count;
    return in->bytes + in->at - count;
}

static uint32_t u32_at(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t get_u32(struct reader *in)
{
    const uint8_t *p = take(in, 4);
    return p == NULL ? 0 : u32_at(p);
}

static uint64_t get_u64(struct reader *in)
{
    uint64_t low = get_u32(in);
    return low | (uint64_t)get_u32(in) << 32;
}

static double get_double(struct reader *in)
{
    uint64_t bits = get_u64(in);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* A number below `count`: enumerations and booleans. */
static unsigned get_choice(struct reader *in, unsigned count)
{
    const uint8_t *p = take(in, 1);
    if (p == NULL || *p >= count) {
        in->bad = true;
        return 0;
    }
    return *p;
}

static bool get_bool(struct reader *in)
{
    return get_choice(in, 2) != 0;
}

/* Printable ASCII into a fixed array. */
static void get_text(struct reader *in, char *text, size_t size)
{
    uint32_t length = get_u32(in);
    const uint8_t *p = length < size ? take(in, length) : NULL;
    text[0] = '\0';
    if (p == NULL) {
        in->bad = true;
        return;
    }
    for (uint32_t i = 0; i < length; i++)
        in->bad |= p[i] < 0x20 || p[i] > 0x7e;
    memcpy(text, p, length);
    text[length] = '\0';
}

static bool finish(const struct reader *in, const char *what, struct error *err)
{
    if (in->bad || in->at != in->length)
        return error_input(err, CATEGORY_DECODER, CODE_DECODER_PROTOCOL, "malformed message '%s'", what);
    return true;
}

bool wire_read_ready(const uint8_t *bytes, size_t length, struct confinement *out, struct error *err)
{
    struct reader in = {bytes, length, 0, false};
    for (unsigned part = 0; part < CONFINEMENT_PARTS; part++) {
        out->in_force[part] = get_bool(&in);
        out->number[part] = (int32_t)(get_u32(&in) & INT32_MAX);
    }
    out->landlock_abi = get_u32(&in);
    return finish(&in, "ready", err);
}

bool wire_read_convert(const uint8_t *bytes, size_t length, struct wire_convert *out, struct error *err)
{
    struct reader in = {bytes, length, 0, false};
    struct options *o = &out->options;
    *out = (struct wire_convert){0};
    out->number = get_u32(&in);
    o->compatibility_niffler = get_bool(&in);
    o->print_images = get_bool(&in);
    o->is_16_bit = get_bool(&in);
    o->public_headers_only = get_bool(&in);
    o->invert_monochrome1 = get_bool(&in);
    o->pattern_given = get_bool(&in);
    o->pixel_scaling = get_choice(&in, PIXEL_SCALING_WINDOW + 1);
    o->window = get_choice(&in, WINDOW_AUTO + 1);
    o->window_index = get_u32(&in);
    o->window_center = get_double(&in);
    o->window_width = get_double(&in);
    o->overlays = get_choice(&in, OVERLAYS_BURN + 1);
    o->allow_truncated = get_bool(&in);
    o->png_compression = get_choice(&in, PNG_COMPRESSION_SMALL + 1);
    o->flattened_to_level = get_choice(&in, FLATTEN_SERIES + 1);
    o->value_format = get_choice(&in, VALUE_FORMAT_NIFFLER + 1);
    o->frames = get_choice(&in, FRAMES_NUMBER + 1);
    o->frame_number = get_u32(&in);
    o->max_value_bytes = get_u64(&in);
    o->max_pixels = get_u64(&in);
    o->max_frames = get_u32(&in);
    o->max_attributes = get_u32(&in);
    o->max_nesting = get_u32(&in);
    o->max_items = get_u32(&in);
    o->max_metadata_bytes = get_u64(&in);
    o->max_picture_bytes = get_u64(&in);
    out->has_output = get_bool(&in);
    out->rings = get_bool(&in);
    return finish(&in, "convert", err);
}

bool wire_read_frame_request(const uint8_t *bytes, size_t length, struct wire_frame_request *out,
                             struct error *err)
{
    struct reader in = {bytes, length, 0, false};
    out->frame_index = get_u32(&in);
    out->has_output = get_bool(&in);
    return finish(&in, "frame request", err);
}

/* The causes that a decoder may give. The others are its worker's: a decoder that gave them would have the
 * file counted as what it is not. */
static bool is_known_code(const char *code)
{
    static const char *const codes[] = {
        CODE_INPUT_IO,     CODE_NOT_DICOM,          CODE_MISSING_ATTRIBUTE,
        CODE_NO_PIXELS,    CODE_UNSUPPORTED_SYNTAX, CODE_UNSUPPORTED_PIXELS,
        CODE_MALFORMED,    CODE_TOO_SHORT,          CODE_CODEC,
        CODE_LIMIT_PIXELS, CODE_LIMIT_ATTRIBUTES,   CODE_LIMIT_OUTPUT,
        CODE_LIMIT_MEMORY, CODE_LIMIT_TIME,         CODE_DECODER_PROTOCOL,
        CODE_OUTPUT_IO,    CODE_OUTPUT_FULL,
    };
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (strcmp(codes[i], code) == 0)
            return true;
    return false;
}

static void get_failure(struct reader *in, struct wire_failure *failure)
{
    failure->category = get_choice(in, CATEGORY_DECODER + 1); /* the fifth is its worker's */
    get_text(in, failure->code, sizeof failure->code);
    get_text(in, failure->reason, sizeof failure->reason);
    in->bad |= failure->category == CATEGORY_NONE ? failure->code[0] != '\0' : !is_known_code(failure->code);
}

bool wire_read_inspected(const uint8_t *bytes, size_t length, struct wire_inspected *out, struct error *err)
{
    struct reader in = {bytes, length, 0, false};
    *out = (struct wire_inspected){0};
    out->number = get_u32(&in);
    out->object = get_choice(&in, WIRE_IMAGE + 1);
    get_failure(&in, &out->failure);
    out->frame_count = get_u32(&in);
    out->frames_there = get_u32(&in);
    out->first_frame = get_u32(&in);
    out->frame_follows = get_bool(&in);
    out->header_cut = get_bool(&in);
    out->guessed = get_bool(&in);
    get_text(&in, out->transfer_syntax, sizeof out->transfer_syntax);
    out->elements_length = get_u32(&in);
    out->elements = take(&in, out->elements_length);
    if (!finish(&in, "inspected", err))
        return false;
    if (out->frames_there > out->frame_count || (out->frame_follows && out->first_frame >= out->frames_there))
        return error_input(err, CATEGORY_DECODER, CODE_DECODER_PROTOCOL,
                           "a frame follows that does not exist");
    return wire_check_elements(out->elements, out->elements_length, err);
}

bool wire_read_frame(const uint8_t *bytes, size_t length, struct wire_frame *out, struct error *err)
{
    struct reader in = {bytes, length, 0, false};
    *out = (struct wire_frame){0};
    out->number = get_u32(&in);
    out->frame_index = get_u32(&in);
    get_failure(&in, &out->failure);
    out->is_decoded = get_bool(&in);
    out->png_bytes = get_u64(&in);
    out->columns = get_u32(&in);
    out->rows = get_u32(&in);
    out->offset = get_double(&in);
    out->maximum = get_double(&in);
    get_text(&in, out->scaling, sizeof out->scaling);
    get_text(&in, out->notes, sizeof out->notes);
    return finish(&in, "frame", err);
}

void wire_failure_from_error(struct wire_failure *failure, const struct error *err)
{
    bool is_input = err->kind == ERROR_INPUT && err->category != CATEGORY_NONE && err->code != NULL;
    failure->category = is_input ? err->category : CATEGORY_DECODER;
    (void)snprintf(failure->code, sizeof failure->code, "%s", is_input ? err->code : CODE_DECODER_PROTOCOL);
    (void)snprintf(failure->reason, sizeof failure->reason, "%s", err->text);
    for (char *c = failure->reason; *c != '\0'; c++)
        if (*c < 0x20 || *c > 0x7e)
            *c = '?';
}

/* ---- elements ---- */

#define ELEMENT_BYTES 24 /* before its value */

void wire_append_element(struct buffer *out, const struct wire_element *element)
{
    char *place = buffer_reserve(out, ELEMENT_BYTES + (size_t)element->length);
    unsigned char *p = (unsigned char *)place;
    p[0] = (unsigned char)element->kind;
    p[1] = element->flags;
    p[2] = (unsigned char)element->vr[0];
    p[3] = (unsigned char)element->vr[1];
    for (int i = 0; i < 4; i++) {
        p[4 + i] = (unsigned char)(element->tag >> (8 * i));
        p[8 + i] = (unsigned char)(element->depth >> (8 * i));
        p[20 + i] = (unsigned char)(element->length >> (8 * i));
    }
    for (int i = 0; i < 8; i++)
        p[12 + i] = (unsigned char)(element->full_length >> (8 * i));
    if (element->length > 0)
        memcpy(p + ELEMENT_BYTES, element->bytes, element->length);
    out->length += ELEMENT_BYTES + (size_t)element->length;
}

bool wire_next_element(const uint8_t *bytes, size_t length, size_t *at, struct wire_element *element)
{
    struct reader in = {bytes, length, *at, false};
    const uint8_t *p = take(&in, ELEMENT_BYTES);
    if (p == NULL)
        return false;
    element->kind = p[0];
    element->flags = p[1];
    element->vr[0] = (char)p[2];
    element->vr[1] = (char)p[3];
    element->tag = u32_at(p + 4);
    element->depth = u32_at(p + 8);
    element->full_length = u32_at(p + 12) | (uint64_t)u32_at(p + 16) << 32;
    element->length = u32_at(p + 20);
    element->bytes = take(&in, element->length);
    *at = in.at;
    return !in.bad;
}

/* VRs whose value is text on the wire: a bit for each second letter, by the first. */
#define LETTER(letter) (1u << ((letter) - 'A'))
static const uint32_t text_vrs[26] = {
    ['A' - 'A'] = LETTER('E') | LETTER('S'),
    ['C' - 'A'] = LETTER('S'),
    ['D' - 'A'] = LETTER('A') | LETTER('S') | LETTER('T'),
    ['I' - 'A'] = LETTER('S'),
    ['L' - 'A'] = LETTER('O') | LETTER('T'),
    ['P' - 'A'] = LETTER('N'),
    ['S' - 'A'] = LETTER('H') | LETTER('T'),
    ['T' - 'A'] = LETTER('M'),
    ['U' - 'A'] = LETTER('C') | LETTER('I') | LETTER('R') | LETTER('T'),
};

/* Of two capital letters. */
static bool is_text_vr(const char vr[2])
{
    return (text_vrs[vr[0] - 'A'] & LETTER(vr[1])) != 0;
}

bool wire_check_elements(const uint8_t *bytes, size_t length, struct error *err)
{
    struct wire_element element = {0};
    size_t at = 0;
    uint32_t depth_allowed = 0; /* an element may be at most this deep */
    const char *fault = NULL;
    while (fault == NULL && at < length) {
        size_t before = at;
        if (!wire_next_element(bytes, length, &at, &element) || at <= before)
            fault = "cut";
        else if (element.kind < WIRE_VALUE || element.kind > WIRE_ITEM || element.vr[0] < 'A' ||
                 element.vr[0] > 'Z' || element.vr[1] < 'A' || element.vr[1] > 'Z')
            fault = "of no known kind";
        else if (element.depth > depth_allowed)
            fault = "deeper than its item";
        else if (element.kind != WIRE_VALUE && element.length > 0)
            fault = "with bytes where none belong";
        else if (element.kind == WIRE_VALUE && is_text_vr(element.vr) &&
                 !utf8_is_valid(element.bytes, element.length))
            fault = "with text that is not UTF-8";
        depth_allowed = element.kind == WIRE_ITEM ? element.depth + 1 : element.depth;
    }
    if (fault != NULL)
        return error_input(err, CATEGORY_DECODER, CODE_DECODER_PROTOCOL, "the decoder sent an element %s",
                           fault);
    return true;
}

/* ---- the socket ---- */

bool wire_send(int socket, const void *bytes, size_t length, const int *descriptors, size_t descriptor_count,
               struct error *err)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(WIRE_MAX_DESCRIPTORS * sizeof(int))];
    } control = {0};
    struct iovec vector = {.iov_len = length};
    memcpy(&vector.iov_base, &bytes, sizeof vector.iov_base); /* sendmsg() only reads it */
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (descriptor_count > 0) {
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(descriptor_count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(descriptor_count * sizeof(int));
        memcpy(CMSG_DATA(header), descriptors, descriptor_count * sizeof(int));
    }
    while (vector.iov_len > 0) {
        ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return error_errno(err, ERROR_RETRY, "cannot send to the other side");
        vector.iov_base = (char *)vector.iov_base + sent;
        vector.iov_len -= (size_t)sent;
        message.msg_control = NULL;
        message.msg_controllen = 0;
    }
    return true;
}

bool wire_reply(int pipe, const void *bytes, size_t length, struct error *err)
{
    const char *at = bytes;
    while (length > 0) {
        ssize_t written = write(pipe, at, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return error_errno(err, ERROR_RETRY, "cannot send to the other side");
        at += written;
        length -= (size_t)written;
    }
    return true;
}

bool wire_receive(int socket, bool waits, void *bytes, size_t length, size_t *received, int *descriptors,
                  size_t *descriptor_count, struct error *err)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(WIRE_MAX_DESCRIPTORS * sizeof(int))];
    } control = {0};
    struct iovec vector = {.iov_base = bytes, .iov_len = length};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control.space,
                             .msg_controllen = sizeof control.space};
    *descriptor_count = 0;
    ssize_t count;
    do
        count = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | (waits ? 0 : MSG_DONTWAIT));
    while (count < 0 && errno == EINTR);
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        *received = SIZE_MAX;
        return true;
    }
    if (count < 0 && errno == ECONNRESET)
        count = 0;
    if (count < 0)
        return error_errno(err, ERROR_RETRY, "cannot receive from the other side");
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        size_t bytes_of_descriptors = header->cmsg_len - CMSG_LEN(0);
        *descriptor_count = bytes_of_descriptors / sizeof(int);
        memcpy(descriptors, CMSG_DATA(header), *descriptor_count * sizeof(int));
    }
    *received = (size_t)count;
    return true;
}
