/* error.h: what went wrong, and what the caller must do about it.
 *
 * Everything that can fail returns bool, takes `struct error *err` last and is MUST_CHECK.
 * The kind is a verb for the caller: record it / try again / stop / abort. It is decided where
 * the failure is understood and never changed on the way up. The struct lives on the caller's
 * stack: reporting an error never allocates.
 *
 * Text: lower case, no full stop, failure first, the subject in quotes. It never holds a
 * DICOM attribute's value. */
#ifndef NIFFLER_COMMON_ERROR_H
#define NIFFLER_COMMON_ERROR_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_index, first_argument) \
    __attribute__((format(printf, format_index, first_argument)))

enum error_kind {
    ERROR_NONE = 0,
    ERROR_INPUT, /* this file or message is bad: record it, go on           */
    ERROR_RETRY, /* the outside world failed: do not acknowledge, try later */
    ERROR_FATAL, /* we are set up wrongly: stop with a clear sentence       */
    ERROR_BUG,   /* our mistake: stop, loudly                               */
};

/* Categories of a failed file; also the names of the folders below failed-dicom/. */
enum category {
    CATEGORY_NONE = 0,
    CATEGORY_NOT_USABLE = 1,    /* not DICOM, or required attributes are missing          */
    CATEGORY_CONTRADICTION = 2, /* the pixel data contradicts the header                  */
    CATEGORY_UNDECODABLE = 3,   /* transfer syntax unsupported, or the codec refuses      */
    CATEGORY_DECODER = 4,       /* the decoder crashed, or met a limit                    */
    CATEGORY_TOO_MANY = 5,      /* more attributes than the limit; converted nevertheless */
};

/* Codes: the stable, machine-readable cause of a failure (failures.csv, metrics, logs). */
#define CODE_INPUT_MISSING "input_missing"           /* vanished between the scan and the read        */
#define CODE_INPUT_DENIED "input_denied"             /* may not be read                               */
#define CODE_INPUT_IO "input_io"                     /* reading failed                                */
#define CODE_INPUT_CHANGED "input_changed"           /* size or time changed while it was read        */
#define CODE_INPUT_SPECIAL "input_special"           /* FIFO, socket, device, folder                  */
#define CODE_OUTSIDE_ROOT "outside_root"             /* a link that leads out of DICOMHome            */
#define CODE_NOT_DICOM "not_dicom"                   /* no DICOM structure                            */
#define CODE_MISSING_ATTRIBUTE "missing_attribute"   /* an attribute that the image needs is absent   */
#define CODE_NO_PIXELS "no_pixels"                   /* an object without an image                    */
#define CODE_UNSUPPORTED_SYNTAX "unsupported_syntax" /* a transfer syntax nobody here decodes         */
#define CODE_UNSUPPORTED_PIXELS "unsupported_pixels" /* a pixel format that cannot become a PNG       */
#define CODE_MALFORMED "malformed"                   /* structure or values contradict each other     */
#define CODE_TOO_SHORT "too_short"                   /* fewer pixel bytes than the header promises    */
#define CODE_CODEC "codec"                           /* the codec refuses the compressed stream       */
#define CODE_LIMIT_PIXELS "limit_pixels"             /* MaxPixels or MaxFrames                        */
#define CODE_LIMIT_ATTRIBUTES "limit_attributes" /* MaxAttributes, MaxNesting, MaxItems, MaxMetadataBytes */
#define CODE_LIMIT_OUTPUT "limit_output"         /* MaxPictureBytes                               */
#define CODE_LIMIT_MEMORY "limit_memory"         /* DecoderMemory                                 */
#define CODE_LIMIT_TIME "limit_time"             /* DecoderSeconds or FileSeconds                 */
#define CODE_CRASH_SIGNAL "crash_signal"         /* the decoder was killed by a signal            */
#define CODE_FORBIDDEN_CALL "forbidden_call"     /* the decoder was ended by its confinement: taken over? */
#define CODE_DECODER_PROTOCOL "decoder_protocol" /* the decoder answered nonsense, or exited      */
#define CODE_TOO_MANY_TAGS "too_many_tags"       /* category 5                                    */
#define CODE_OUTPUT_IO "output_io"               /* writing the PNG failed                        */
#define CODE_OUTPUT_FULL "output_full"           /* no space left for the PNG                     */

struct error {
    enum error_kind kind;
    enum category category; /* of ERROR_INPUT, else CATEGORY_NONE                 */
    const char *code;       /* one of CODE_*, static; NULL where there is none    */
    char text[256];
};

/* Fills `err` and returns false, so that `return error_set(err, …)` reads as one thought. */
bool error_set(struct error *err, enum error_kind kind, const char *format, ...) PRINTF_LIKE(3, 4);

/* ERROR_INPUT with its category and code. Returns false. */
bool error_input(struct error *err, enum category category, const char *code, const char *format, ...)
    PRINTF_LIKE(4, 5);

/* As error_set(), with ": <strerror(errno)>" appended. */
bool error_errno(struct error *err, enum error_kind kind, const char *format, ...) PRINTF_LIKE(3, 4);

/* Put context in front of the text: "series '1.2.3': cannot open …". Returns false. */
bool error_prefix(struct error *err, const char *format, ...) PRINTF_LIKE(2, 3);

/* "retry", "fatal" … for logs. */
const char *error_kind_name(enum error_kind kind);

#ifdef __cplusplus
}
#endif
#endif
