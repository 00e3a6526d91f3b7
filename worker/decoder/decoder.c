/* decoder.c: main() of niffler-png-decoder, the only program that reads untrusted bytes.
 *
 *   niffler-png-decoder --control MEMORY_BYTES CPU_SECONDS FILE_BYTES WORKER_PROCESS
 *
 * Descriptors: 0, 1, 2 /dev/null (or the worker's stderr), 3 the control socket, 4 the pipe for replies
 * (worker/wire.h). All others are closed. Input and output files come over the control socket; no path is
 * ever seen, and none could be opened (sandbox.h).
 *
 * Exit status: 0 the worker closed the socket; 2 started wrongly; 3 no memory (WIRE_EXIT_MEMORY); 70 a
 * request that no worker of ours sends; a signal is a crash, or the end by its confinement (SIGSYS), which
 * costs the file at hand. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/buffer.h"
#include "worker/decoder/dicom/dicom.h"
#include "worker/decoder/render/display.h"
#include "worker/decoder/render/extras.h"
#include "worker/decoder/image/image.h"
#include "worker/decoder/png/pngout.h"
#include "worker/decoder/render/render.h"
#include "worker/decoder/render/render_window.h"
#include "worker/decoder/last_words.h"
#include "worker/decoder/sandbox.h"
#include "worker/wire.h"

#define EXIT_USAGE 2
#define EXIT_BUG 70
/* Bytes that a decoder keeps from file to file: those of the largest usual pictures. */
#define HELD_MOST ((uint64_t)256 << 20)

struct request {
    enum wire_type type;
    union {
        struct wire_convert convert;
        struct wire_frame_request frame;
    };
    int descriptors[WIRE_MAX_DESCRIPTORS];
    size_t descriptor_count;
};

struct decoder {
    struct dicom *dcm;
    struct functional_groups groups;
    struct image *image;
    struct display *display;
    struct render_window *window;
    struct pngout *png;
    struct extras extras;
    uint64_t memory_bytes;
    uint32_t number;        /* of the file at hand: the worker's */
    struct options options; /* of the file at hand */
    int input;              /* of the file at hand; -1: none */
    bool has_image;         /* image_inspect() succeeded     */
    uint32_t frames_there;  /* of the file at hand; as in wire_inspected */
    bool awaits_frames;     /* more frames of it will be asked for       */
    struct buffer elements;
    struct buffer reply;

    struct request kept[WIRE_AHEAD_MOST]; /* converts that came ahead: a ring */
    unsigned kept_first, kept_count;
    bool owes_ring;       /* the worker may have ceased to listen */
    size_t unheard_bytes; /* in the pipe since then, or since the last ring */
    size_t unheard_most;  /* what the pipe holds for certain */
};

static _Noreturn void leave(int status)
{
    _exit(status); /* no destructors: they could only stumble over what a bad file left behind */
}

/* ---- one frame ---- */

struct row_source {
    const struct codec_samples *samples;
    const struct render_plan *plan;
    const struct overlays *overlays; /* NULL: none */
    const struct pngout_shape *shape;
};

static void next_row(void *context, uint32_t row, uint8_t *out)
{
    const struct row_source *source = context;
    render_row(source->samples, source->plan, row, out);
    if (source->overlays != NULL)
        overlay_draw_row(source->overlays, source->shape, row, out);
}

static bool write_picture(struct decoder *dec, const struct codec_samples *samples, int output,
                          struct wire_frame *frame, struct error *err)
{
    static const char *const scalings[] = {"full", "niffler", "stored", "window"};
    const struct image_facts *facts = image_facts(dec->image);
    bool invert = facts->photometric == PHOTOMETRIC_MONOCHROME1 && dec->options.invert_monochrome1;
    const struct notes notes = {frame->notes, sizeof frame->notes};
    struct display_frame display;
    struct render_plan plan;
    if (dec->options.pixel_scaling == PIXEL_SCALING_WINDOW && samples->samples == 1) {
        display_frame(dec->display, frame->frame_index, &dec->options, &display, &notes);
        render_window_plan(dec->window, samples, &display, &dec->options, &plan);
    } else if (!render_plan(samples, facts->bits_stored, invert, &dec->options, &plan, err)) {
        return false;
    }
    frame->offset = plan.offset;
    frame->maximum = plan.maximum;
    (void)snprintf(frame->scaling, sizeof frame->scaling, "%s", scalings[plan.scaling]);
    if (output < 0)
        return true;
    struct pngout_shape shape = {samples->columns, samples->rows, plan.samples, plan.is_16_bit ? 16 : 8};
    frame->columns = shape.width;
    frame->rows = shape.height;
    struct row_source source = {.samples = samples, .plan = &plan, .shape = &shape};
    struct pngout_extras chunks = {0};
    if (!dec->options.compatibility_niffler) {
        const struct extras_frame decoded = {frame->frame_index, samples, &plan};
        extras_chunks(&dec->extras, dec->dcm, &dec->groups, &decoded, &chunks, &notes);
        source.overlays =
            extras_overlays(&dec->extras, dec->dcm, dec->image, &decoded, &dec->options, &notes);
    }
    pngout_set_compression(dec->png, dec->options.png_compression);
    pngout_set_limit(dec->png, dec->options.max_picture_bytes);
    return pngout_write(dec->png, output, &shape, &chunks, next_row, &source, &frame->png_bytes, err);
}

/* What Niffler decodes and then fails to write: several frames, and colour that is not RGB. */
static bool niffler_refuses(struct decoder *dec, const struct codec_samples *samples,
                            struct wire_frame *frame, struct error *err)
{
    const struct image_facts *facts = image_facts(dec->image);
    char notes[sizeof frame->notes] = "";
    if (facts->frame_count > 1) {
        for (uint32_t i = 0; i < facts->frame_count && frame->is_decoded; i++) {
            const struct codec_samples *other;
            frame->is_decoded =
                image_read_frame(dec->image, i, &dec->options, &other, notes, sizeof notes, err);
        }
        if (frame->is_decoded)
            (void)error_input(err, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_PIXELS,
                              "multi-frame images are not converted under Compatibility");
        return true;
    }
    if (samples->samples == 3 && facts->photometric != PHOTOMETRIC_RGB) {
        (void)error_input(err, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_PIXELS,
                          "colour other than RGB is not converted under Compatibility");
        return true;
    }
    return false;
}

/* The failure of `err`. What a codec refused because it had no memory is a limit that was met; the limit's
 * name and value stand behind each such reason. */
static void set_failure(const struct decoder *dec, struct wire_failure *failure, struct error *err)
{
    if (err->kind == ERROR_INPUT && strcmp(err->code, CODE_CODEC) == 0 && last_words_is_memory())
        (void)error_input(err, CATEGORY_DECODER, CODE_LIMIT_MEMORY, "the codec has not enough memory");
    wire_failure_from_error(failure, err);
    size_t length = strlen(failure->reason);
    if (strcmp(failure->code, CODE_LIMIT_MEMORY) == 0)
        (void)snprintf(failure->reason + length, sizeof failure->reason - length,
                       " (DecoderMemory, %llu bytes)", (unsigned long long)dec->memory_bytes);
}

static void answer_frame(struct decoder *dec, uint32_t frame_index, int output)
{
    struct wire_frame frame = {.number = dec->number, .frame_index = frame_index};
    struct error err = {0};
    const struct codec_samples *samples;
    if (dicom_syntax(dec->dcm)->guessed)
        (void)snprintf(frame.notes, sizeof frame.notes, "transfer syntax guessed");
    bool ok = image_read_frame(dec->image, frame_index, &dec->options, &samples, frame.notes,
                               sizeof frame.notes, &err);
    frame.is_decoded = ok;
    if (ok && dec->options.compatibility_niffler && niffler_refuses(dec, samples, &frame, &err))
        ok = false;
    if (ok)
        ok = write_picture(dec, samples, output, &frame, &err);
    if (!ok)
        set_failure(dec, &frame.failure, &err);
    wire_write_frame(&dec->reply, &frame);
}

/* ---- one file ---- */

/* The frame that is decoded without being asked for. */
static bool choose_first_frame(const struct options *options, uint32_t frame_count, uint32_t *index,
                               struct error *err)
{
    switch (options->frames) {
    case FRAMES_MIDDLE:
        *index = frame_count / 2;
        return true;
    case FRAMES_NUMBER:
        if (options->frame_number < 1 || options->frame_number > frame_count)
            return error_input(err, CATEGORY_CONTRADICTION, CODE_MALFORMED,
                               "frame %u was asked for, the file has %u", options->frame_number, frame_count);
        *index = options->frame_number - 1;
        return true;
    default:
        *index = 0;
        return true;
    }
}

static bool inspect(struct decoder *dec, struct wire_inspected *out, struct error *err)
{
    bool readable = dicom_read(dec->dcm, dec->input, &dec->options, err);
    if (!readable && err->code != NULL && strcmp(err->code, CODE_NOT_DICOM) == 0) {
        out->object = WIRE_NOT_DICOM;
        return false;
    }
    dicom_append_elements(dec->dcm, &dec->options, &dec->elements);
    (void)snprintf(out->transfer_syntax, sizeof out->transfer_syntax, "%s", dicom_syntax(dec->dcm)->uid);
    out->header_cut = dicom_is_cut(dec->dcm);
    out->guessed = dicom_syntax(dec->dcm)->guessed;
    out->object = WIRE_IMAGE;
    if (!readable)
        return false;
    if (!image_is_image(dec->dcm)) {
        out->object = WIRE_NO_IMAGE;
        return true;
    }
    if (dec->options.compatibility_niffler && out->transfer_syntax[0] == '\0')
        return error_input(err, CATEGORY_NOT_USABLE, CODE_MISSING_ATTRIBUTE, "TransferSyntaxUID is missing");
    if (!image_inspect(dec->image, dec->dcm, &dec->options, err))
        return false;
    struct error missing = {0};
    out->frame_count = image_facts(dec->image)->frame_count;
    if (!choose_first_frame(&dec->options, out->frame_count, &out->first_frame, err))
        return false;
    out->frames_there = image_frames_there(dec->image, &missing);
    /* Frames that nobody asked for may be missing. */
    bool all = dec->options.frames == FRAMES_ALL;
    if (out->frames_there < out->frame_count && (all || out->first_frame >= out->frames_there))
        wire_failure_from_error(&out->failure, &missing);
    if (out->first_frame >= out->frames_there)
        return true;
    functional_groups_read(&dec->groups, dec->dcm, out->frame_count);
    if (dec->options.pixel_scaling == PIXEL_SCALING_WINDOW)
        display_inspect(dec->display, dec->dcm, image_facts(dec->image), &dec->groups);
    dec->has_image = true;
    out->frame_follows = dec->options.print_images;
    return true;
}

static void printable(char *text)
{
    for (; *text != '\0'; text++)
        if (*text < 0x20 || *text > 0x7e)
            *text = '?';
}

/* Wake the worker, which then reads all replies there are. */
static void ring(struct decoder *dec)
{
    struct error err;
    if (!wire_reply(WIRE_CONTROL_DESCRIPTOR, "", 1, &err))
        leave(0);
    dec->unheard_bytes = 0;
    dec->owes_ring = dec->kept_count >= WIRE_QUIET_FROM;
}

static void send_reply(struct decoder *dec)
{
    struct error err;
    dec->unheard_bytes += dec->reply.length;
    if (dec->owes_ring && dec->unheard_bytes > dec->unheard_most)
        ring(dec);
    if (!wire_reply(WIRE_REPLY_DESCRIPTOR, dec->reply.data, dec->reply.length, &err))
        leave(0);
    buffer_truncate(&dec->reply, 0);
}

/* What needs nothing but memory, and can be made again when the process is confined. */
static void make_parts(struct decoder *dec)
{
    dec->image = image_new();
    dec->display = display_new();
    dec->window = render_window_new();
    dec->png = pngout_new();
}

/* Buffers are used again for the next file. What a large one left behind would be missing for what others
 * need of DecoderMemory, so that whether a file is converted would hang on the one before it. */
static void give_back(struct decoder *dec)
{
#ifdef __SANITIZE_ADDRESS__ /* which has an allocator of its own, and no limit of memory */
    const struct mallinfo2 held = {0};
#else
    const struct mallinfo2 held = mallinfo2();
#endif
    uint64_t most = dec->memory_bytes / 4 < HELD_MOST ? dec->memory_bytes / 4 : HELD_MOST;
    if (held.uordblks + held.hblkhd < most)
        return;
    dicom_shrink(dec->dcm);
    image_free(dec->image);
    display_free(dec->display);
    render_window_free(dec->window);
    pngout_free(dec->png);
    extras_clear(&dec->extras);
    functional_groups_clear(&dec->groups);
    buffer_clear(&dec->elements);
    buffer_clear(&dec->reply);
    make_parts(dec);
    (void)malloc_trim(0);
}

static void answer_convert(struct decoder *dec, const struct wire_convert *convert, int input, int output)
{
    struct wire_inspected inspected = {.number = convert->number};
    struct error err = {0};
    if (dec->input >= 0)
        (void)close(dec->input);
    give_back(dec);
    dec->input = input;
    dec->number = convert->number;
    dec->options = convert->options;
    dec->has_image = dec->awaits_frames = false;
    extras_begin_file(&dec->extras);
    buffer_truncate(&dec->elements, 0);
    if (!inspect(dec, &inspected, &err))
        set_failure(dec, &inspected.failure, &err);
    printable(inspected.transfer_syntax);
    inspected.elements = (const uint8_t *)dec->elements.data;
    inspected.elements_length = dec->elements.length;
    wire_write_inspected(&dec->reply, &inspected);
    send_reply(dec); /* at once: the worker builds the columns while the pixels are decoded */
    if (dec->owes_ring && dec->kept_count < WIRE_QUIET_FROM)
        ring(dec);
    if (!inspected.frame_follows)
        return;
    answer_frame(dec, inspected.first_frame, output);
    dec->frames_there = inspected.frames_there;
    dec->awaits_frames = wire_has_more_frames(&dec->options, dec->frames_there, inspected.first_frame);
    send_reply(dec);
}

static void answer_frame_request(struct decoder *dec, const struct wire_frame_request *request, int output)
{
    if (!dec->has_image || request->frame_index >= image_facts(dec->image)->frame_count)
        leave(EXIT_BUG);
    answer_frame(dec, request->frame_index, output);
    dec->awaits_frames = wire_has_more_frames(&dec->options, dec->frames_there, request->frame_index);
    send_reply(dec);
}

/* ---- requests ---- */

/* At least `least` bytes, at most `most`; descriptors come with the first of a request. Returns how many: 0
 * where there is none and !waits. */
static size_t receive(bool waits, uint8_t *bytes, size_t least, size_t most, struct request *request)
{
    size_t done = 0;
    while (done < least) {
        int descriptors[WIRE_MAX_DESCRIPTORS];
        size_t received, count;
        struct error err;
        if (!wire_receive(WIRE_CONTROL_DESCRIPTOR, waits || done > 0, bytes + done, most - done, &received,
                          descriptors, &count, &err) ||
            received == 0)
            leave(0); /* the worker is gone */
        if (received == SIZE_MAX)
            return 0;
        if (count > 0) {
            memcpy(request->descriptors, descriptors, count * sizeof *descriptors);
            request->descriptor_count = count;
        }
        done += received;
    }
    return done;
}

/* Descriptors part what is received (unix(7)), and there is nothing behind a request without: what comes at
 * once is one request, or its beginning. */
static bool receive_request(bool waits, struct request *request)
{
    uint8_t bytes[WIRE_HEADER_BYTES + WIRE_REQUEST_BYTES_MAX];
    struct error err;
    request->descriptor_count = 0;
    size_t done = receive(waits, bytes, WIRE_HEADER_BYTES, sizeof bytes, request);
    if (done == 0)
        return false;
    size_t body_length =
        (size_t)bytes[0] | (size_t)bytes[1] << 8 | (size_t)bytes[2] << 16 | (size_t)bytes[3] << 24;
    size_t length = WIRE_HEADER_BYTES + body_length;
    if (body_length > WIRE_REQUEST_BYTES_MAX || done > length)
        leave(EXIT_BUG);
    if (done < length)
        (void)receive(true, bytes + done, length - done, length - done, request);
    const uint8_t *body = bytes + WIRE_HEADER_BYTES;
    bool is_good = false;
    request->type = bytes[4];
    if (request->type == WIRE_CONVERT)
        is_good = wire_read_convert(body, body_length, &request->convert, &err) &&
                  request->descriptor_count == 1u + request->convert.has_output;
    else if (request->type == WIRE_FRAME_REQUEST)
        is_good = wire_read_frame_request(body, body_length, &request->frame, &err) &&
                  request->descriptor_count == request->frame.has_output;
    if (!is_good)
        leave(EXIT_BUG);
    return true;
}

static void keep(struct decoder *dec, const struct request *request)
{
    if (dec->kept_count == WIRE_AHEAD_MOST)
        leave(EXIT_BUG);
    dec->kept[(dec->kept_first + dec->kept_count++) % WIRE_AHEAD_MOST] = *request;
    if (request->convert.rings && !dec->owes_ring)
        dec->unheard_bytes = 0;
    dec->owes_ring |= request->convert.rings;
}

/* What is to be done next: frames of the file at hand, then the next file. */
static void next_request(struct decoder *dec, struct request *request)
{
    for (;;) {
        bool can_begin = dec->kept_count > 0 && !dec->awaits_frames;
        /* So many that no ring is due behind the next: what more there is can wait in the socket. */
        if (can_begin && dec->kept_count > WIRE_QUIET_FROM)
            break;
        bool is_there = receive_request(!can_begin && !dec->owes_ring, request);
        if (!is_there && can_begin)
            break;
        if (!is_there) {
            ring(dec);
            is_there = receive_request(true, request);
        }
        if (is_there && request->type == WIRE_FRAME_REQUEST)
            return;
        if (is_there)
            keep(dec, request);
    }
    *request = dec->kept[dec->kept_first];
    dec->kept_first = (dec->kept_first + 1) % WIRE_AHEAD_MOST;
    dec->kept_count--;
}

static void answer(struct decoder *dec, const struct request *request)
{
    int output = -1;
    last_words_forget();
    if (request->type == WIRE_CONVERT) {
        output = request->convert.has_output ? request->descriptors[1] : -1;
        answer_convert(dec, &request->convert, request->descriptors[0], output);
    } else {
        output = request->frame.has_output ? request->descriptors[0] : -1;
        answer_frame_request(dec, &request->frame, output);
    }
    if (output >= 0)
        (void)close(output);
}

static bool number_argument(const char *text, uint64_t *value)
{
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0';
}

int main(int argc, char **argv)
{
    uint64_t memory_bytes, cpu_seconds, file_bytes, worker;
    struct confinement confinement;
    struct error err;
    if (argc != 6 || strcmp(argv[1], "--control") != 0 || !number_argument(argv[2], &memory_bytes) ||
        !number_argument(argv[3], &cpu_seconds) || cpu_seconds > 1000000 ||
        !number_argument(argv[4], &file_bytes) || !number_argument(argv[5], &worker) || worker > INT_MAX) {
        (void)fprintf(stderr, "niffler-png-decoder is started by niffler-png, not by hand\n");
        return EXIT_USAGE;
    }
    (void)signal(SIGPIPE, SIG_IGN); /* a worker that is gone is met by leaving */
    (void)signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is an error of the write, not a death */
    last_words_prepare();
    codec_init();
    struct decoder dec = {.dcm = dicom_new(), .input = -1};
    make_parts(&dec);
    dec.memory_bytes = memory_bytes;
    const int pipe_bytes = fcntl(WIRE_REPLY_DESCRIPTOR, F_GETPIPE_SZ);
    dec.unheard_most = pipe_bytes > 0 ? (size_t)pipe_bytes / 2 : 0;
    const struct sandbox_limits limits = {memory_bytes, (uint32_t)cpu_seconds, file_bytes};
    if (!sandbox_enter(&limits, (pid_t)worker, WIRE_FREE_DESCRIPTOR, &confinement, &err)) {
        (void)fprintf(stderr, "niffler-png-decoder: %s\n", err.text);
        return EXIT_USAGE;
    }
    wire_write_ready(&dec.reply, &confinement);
    send_reply(&dec);
    for (;;) {
        struct request request;
        next_request(&dec, &request);
        answer(&dec, &request);
    }
}
