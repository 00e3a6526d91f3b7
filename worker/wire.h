/* wire.h: the bytes between a worker and one of its decoders.
 *
 * Frames of: u32 length, u8 type, `length` bytes. All numbers are little endian and written field by field.
 * Requests go through a SOCK_STREAM pair; descriptors travel with the first byte of theirs. Replies come
 * through a pipe: it can carry no descriptor, and a reply that is read from a socket would wake the decoder,
 * which sleeps on that very socket for its next request.
 *
 *     worker                                   decoder
 *        │                                        │ ready (once) {struct confinement}
 *        │◄───────────────────────────────────────┤
 *        │ convert {options} + input [+ output]   │
 *        ├───────────────────────────────────────►│ reads the header
 *        │◄─────────────────────────── inspected ─┤ struct wire_inspected and the elements
 *        │◄──────────────────────────────── frame ┤ only if an image was asked for: the first chosen
 *        │ frame {index} [+ output]               │ frame is decoded without being asked again
 *        ├───────────────────────────────────────►│
 *        │◄──────────────────────────────── frame ┤ … and so on, until wire_has_more_frames() says no
 *
 * Further converts may be sent ahead, at most WIRE_AHEAD_MOST: the decoder keeps them until all frames of the
 * file before have been asked for; a worker that will not do so ends the decoder. One that has sent so many
 * (`rings`) sleeps on until it hears one byte through the socket, the ring: it need not be woken for each
 * reply. A decoder that has had a convert with `rings` rings behind the first `inspected` that leaves it
 * fewer than WIRE_QUIET_FROM converts; when it would wait; before what may not fit into the pipe beside the
 * replies that may still be in there: pages of a pipe need not be full, so half of its bytes are counted on.
 *
 * The decoder is not trusted: every reply is checked in full by wire_read_*(), and anything that does
 * not parse to the last byte is a protocol error, upon which the decoder is killed (pool.h). */
#ifndef NIFFLER_WORKER_WIRE_H
#define NIFFLER_WORKER_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "common/alloc.h"
#include "common/buffer.h"
#include "common/error.h"
#include "common/options.h"
#include "worker/confinement.h"

enum wire_type {
    WIRE_READY = 1,
    WIRE_CONVERT = 2,
    WIRE_INSPECTED = 3,
    WIRE_FRAME_REQUEST = 4,
    WIRE_FRAME = 5,
};

#define WIRE_HEADER_BYTES 5
#define WIRE_MAX_DESCRIPTORS 2
#define WIRE_READY_BYTES (5 * CONFINEMENT_PARTS + 4) /* behind its header */
#define WIRE_REQUEST_BYTES_MAX 256 /* the longest request: convert with its options (under 100 bytes) */

#define WIRE_AHEAD_MOST 16     /* converts that a decoder may be sent behind the one it is at */
#define WIRE_QUIET_FROM 2      /* those from which on the worker waits for a ring */
#define WIRE_PIPE_BYTES 131072 /* of the pipe, where the system gives so much */

/* The descriptors of a decoder when it starts. */
#define WIRE_CONTROL_DESCRIPTOR 3
#define WIRE_REPLY_DESCRIPTOR 4
#define WIRE_FREE_DESCRIPTOR 5 /* the first that is none of them */

/* Exit status of a decoder that ended because memory was not to be had. */
#define WIRE_EXIT_MEMORY ALLOC_EXIT_STATUS

/* ---- typed elements ---------------------------------------------------------------------------
 *
 * A data set, flattened in file order. A sequence is followed by its items, an item by its elements,
 * each one level deeper:
 *
 *     (0010,0020) VALUE depth 0     (0008,1115) SEQUENCE depth 0, 2 items
 *                                               ITEM depth 0
 *                                   (0020,000E) VALUE depth 1
 *                                               ITEM depth 0
 */
enum wire_element_kind {
    WIRE_VALUE = 1,
    WIRE_SEQUENCE = 2,
    WIRE_ITEM = 3,
};

/* Flags of a value. */
#define WIRE_VALUE_MARKED 1u   /* text held bytes that its character set does not know: U+FFFD stands there */
#define WIRE_VALUE_CUT 2u      /* `length` < `full_length`: the rest was left out                           */
#define WIRE_VALUE_NOT_READ 4u /* pixel data and other bulk: `length` is 0, `full_length` says how much */
#define WIRE_VALUE_CHOSEN_VR 16u /* implicit VR, where the dictionary allows several ("US or SS") */
#define WIRE_VALUE_UNDEFINED \
    8u /* had undefined length (encapsulated pixel data, UN sequences)              */

struct wire_element {
    enum wire_element_kind kind;
    uint8_t flags;
    char vr[2];           /* as read, or by the dictionary in implicit VR; "UN" if unknown          */
    uint32_t tag;         /* group << 16 | element; of a WIRE_ITEM the sequence's                   */
    uint32_t depth;       /* 0 at the top                                                           */
    uint64_t full_length; /* VALUE: bytes in the file. SEQUENCE: number of items that follow        */
    uint32_t length;      /* of `bytes`                                                             */
    const uint8_t *bytes; /* borrowed. Text VRs: UTF-8, '\' between values, trailing padding kept as
                             in the file. Binary VRs: little endian, as in the file otherwise       */
};

/* Append one element to a list of elements. */
void wire_append_element(struct buffer *out, const struct wire_element *element);

/* Step through a list: set *element to the next one and move *at behind it.
 *   bytes, length  the whole list
 * Returns false at the end. A list that wire_check_elements() has passed cannot be malformed. */
bool wire_next_element(const uint8_t *bytes, size_t length, size_t *at, struct wire_element *element);

/* Whether a list is well-formed: whole elements, known kinds, depths that rise only below an item,
 * text that is UTF-8. Fails with ERROR_INPUT, category 4, CODE_DECODER_PROTOCOL. */
MUST_CHECK bool wire_check_elements(const uint8_t *bytes, size_t length, struct error *err);

/* ---- requests ---------------------------------------------------------------------------------- */

struct wire_convert {
    uint32_t number; /* of the file, the worker's own: comes back with each reply, so that none is taken for
                        one about the next file */
    struct options options;
    bool has_output; /* a second descriptor follows the input: the first frame's PNG goes there */
    bool rings;      /* the worker may have ceased to listen for replies: it is to be rung for */
};

struct wire_frame_request {
    uint32_t frame_index; /* from 0 */
    bool has_output;      /* without an output the frame is decoded, and nothing written */
};

/* ---- replies ----------------------------------------------------------------------------------- */

#define WIRE_UID_SIZE 65 /* 64 characters (PS3.5 9.1) and a NUL */
#define WIRE_REASON_SIZE 256
#define WIRE_CODE_SIZE 32

struct wire_failure {
    enum category category; /* CATEGORY_NONE: none */
    char code[WIRE_CODE_SIZE];
    char reason[WIRE_REASON_SIZE]; /* printable ASCII */
};

enum wire_object {
    WIRE_NOT_DICOM = 0, /* no DICOM structure was found; `failure` says so                         */
    WIRE_NO_IMAGE = 1,  /* an object that holds no image (SR, PR, RTSTRUCT, PDF, waveforms …)      */
    WIRE_IMAGE = 2,     /* pixel data is there, or its module says it should be; see `failure`     */
};

struct wire_inspected {
    uint32_t number; /* of wire_convert */
    enum wire_object object;
    struct wire_failure failure; /* why the pixel data, or the end of it, cannot be used: found before
                                    decoding                                                           */
    uint32_t frame_count;        /* of the file; 0 where there is no pixel data                        */
    uint32_t frames_there;       /* those, from the first on, that the pixel data holds; where it is fewer,
                                    `failure` is why, and of the others only                           */
    uint32_t first_frame;        /* index of the frame whose WIRE_FRAME follows when images are wanted */
    bool frame_follows;          /* a WIRE_FRAME comes without being asked                             */
    bool header_cut;             /* the data set ended in the middle: the elements are those before    */
    bool guessed;                /* meta header or transfer syntax was missing: guessed                */
    char transfer_syntax[WIRE_UID_SIZE];
    const uint8_t *elements; /* borrowed from the message; checked */
    size_t elements_length;
};

struct wire_frame {
    uint32_t number; /* of wire_convert */
    uint32_t frame_index;
    struct wire_failure failure; /* CATEGORY_NONE: the PNG is complete                             */
    bool is_decoded;             /* the samples were decoded, whatever became of the picture       */
    uint64_t png_bytes;          /* length of the PNG; 0 without an output                         */
    uint32_t columns, rows;      /* of the PNG, in pixels; 0 without a picture                     */
    double offset;               /* the value that 0 in the PNG stands for                         */
    double maximum;              /* the value that white (255 or 65535) in the PNG stands for      */
    char scaling[16];            /* "full", "niffler", "stored", "window"                          */
    char notes[256];             /* pixel_notes: what was overruled; empty for nothing             */
};

/* Whether the worker asks for another frame of a file behind frame `frame_index`.
 *   frames_there  as in wire_inspected */
bool wire_has_more_frames(const struct options *options, uint32_t frames_there, uint32_t frame_index);

/* Encode a message, header included, behind what `out` holds. */
void wire_write_ready(struct buffer *out, const struct confinement *confinement);
void wire_write_convert(struct buffer *out, const struct wire_convert *convert);
void wire_write_frame_request(struct buffer *out, const struct wire_frame_request *request);
void wire_write_inspected(struct buffer *out, const struct wire_inspected *inspected);
void wire_write_frame(struct buffer *out, const struct wire_frame *frame);

/* Decode the `length` bytes behind a header. All of them must be used, all enumerations known, all texts
 * terminated and printable. Fail with ERROR_INPUT, category 4, CODE_DECODER_PROTOCOL. */
MUST_CHECK bool wire_read_ready(const uint8_t *bytes, size_t length, struct confinement *out,
                                struct error *err);
MUST_CHECK bool wire_read_convert(const uint8_t *bytes, size_t length, struct wire_convert *out,
                                  struct error *err);
MUST_CHECK bool wire_read_frame_request(const uint8_t *bytes, size_t length, struct wire_frame_request *out,
                                        struct error *err);
MUST_CHECK bool wire_read_inspected(const uint8_t *bytes, size_t length, struct wire_inspected *out,
                                    struct error *err);
MUST_CHECK bool wire_read_frame(const uint8_t *bytes, size_t length, struct wire_frame *out,
                                struct error *err);

/* Set `failure` from an error of ERROR_INPUT (other kinds become category 4, CODE_DECODER_PROTOCOL);
 * unprintable bytes become '?'. */
void wire_failure_from_error(struct wire_failure *failure, const struct error *err);

/* ---- the socket, and the pipe ------------------------------------------------------------------ */

/* Send all bytes; the descriptors (at most WIRE_MAX_DESCRIPTORS) go with the first. Blocks.
 * Fails with ERROR_RETRY when the peer is gone. */
MUST_CHECK bool wire_send(int socket, const void *bytes, size_t length, const int *descriptors,
                          size_t descriptor_count, struct error *err);

/* Write all bytes to the pipe. Blocks. Fails with ERROR_RETRY when the peer is gone, where SIGPIPE is
 * ignored. */
MUST_CHECK bool wire_reply(int pipe, const void *bytes, size_t length, struct error *err);

/* Receive what is there, at most `length` bytes, with at most WIRE_MAX_DESCRIPTORS descriptors
 * (close-on-exec; the caller owns them). *received is 0 when the peer has closed. Where nothing is there,
 * waits, or returns true with *received = SIZE_MAX (!waits). Fails with ERROR_RETRY. */
MUST_CHECK bool wire_receive(int socket, bool waits, void *bytes, size_t length, size_t *received,
                             int *descriptors, size_t *descriptor_count, struct error *err);

#endif
