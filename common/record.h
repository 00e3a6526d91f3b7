/* record.h: the message worker -> aggregator, one for each task, always.
 *
 * Life-cycle and JSON form: MESSAGES.md. The JSON is written directly and read by a strict pull parser
 * (json.h): it is the busiest message, and a tree of values costs twenty times as much. */
#ifndef NIFFLER_COMMON_RECORD_H
#define NIFFLER_COMMON_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"

#define RECORD_VERSION 1

enum record_status {
    RECORD_CONVERTED, /* all chosen frames are PNGs, or images were not asked for */
    RECORD_NO_IMAGE,  /* an object without an image: a row, no failure            */
    RECORD_IGNORED,   /* not DICOM, and nobody said it should be: no row          */
    RECORD_FAILED,    /* a row in failures.csv                                    */
};

/* Text inside struct record: offset into rec->text, NUL-terminated there. */
struct record_cell {
    size_t column;
    size_t column_length;
    size_t value;
    size_t value_length;
};

struct record_frame {
    uint32_t frame;     /* from 1                                               */
    size_t png;         /* path below OutputDirectory; empty: the frame failed  */
    uint64_t png_bytes; /* length of the PNG                                    */
    double offset;      /* the value that 0 stands for                          */
    double maximum;     /* the value that white stands for                      */
    size_t scaling;     /* "full" …                                             */
    size_t notes;       /* pixel_notes; of a failed frame its reason            */
};

/* One file's outcome. Zeroed is empty. Arrays and text are reused by record_reset(). */
struct record {
    char job[32];
    uint64_t seq;   /* in scan order, from 0 */
    uint32_t round; /* the task's */
    enum record_status status;
    enum category category; /* of a failure; CATEGORY_TOO_MANY also beside RECORD_CONVERTED */
    size_t path;            /* relative to DICOMHome; any bytes but NUL                     */
    size_t code;            /* CODE_*; empty: none                                          */
    size_t reason;
    size_t transfer_syntax;
    size_t modality;
    size_t
        spilled; /* empty, or a file below the output folder that holds the record: it was too long to send */
    size_t failed_copy;    /* path of the copy in failed-dicom/; empty: none */
    bool has_pix_array;    /* the columns `has_pix_array` and `category`, which stand behind the cells: */
    bool is_uncategorized; /* "uncategorized", else "no image"                                          */
    uint64_t size_bytes;   /* of the DICOM file, with which resume tells a change */
    int64_t mtime_ns;
    struct record_frame *frames;
    size_t frame_count, frame_capacity;
    struct record_cell *cells;
    size_t cell_count, cell_capacity;
    struct buffer text; /* offset 0 is the empty text */
};

void record_reset(struct record *rec); /* empty, memory kept */
void record_clear(struct record *rec); /* frees              */

/* Add a NUL-terminated copy of text and return its offset. The text may not contain NUL. */
size_t record_add_text(struct record *rec, const char *text, size_t length);
static inline const char *record_text(const struct record *rec, size_t offset)
{
    return rec->text.data + offset;
}

/* Add a column and its value; the value is UTF-8 without NUL. */
void record_add_cell(struct record *rec, const char *column, size_t column_length, const char *value,
                     size_t value_length);

/* The same in two steps: what is appended to rec->text between them is the value, of a column that has a
 * name. record_drop_cell() takes the column back. */
void record_begin_cell(struct record *rec, const char *column, size_t column_length);
void record_end_cell(struct record *rec);
void record_drop_cell(struct record *rec);

/* Return the new last frame, zeroed but for the texts, which are empty. */
struct record_frame *record_add_frame(struct record *rec);

/* Append the JSON message. */
void record_to_json(const struct record *rec, struct buffer *out);

/* Append the message that is sent in place of one that is too long: who, and where the record lies. */
void record_to_json_spilled(const struct record *rec, const char *file, struct buffer *out);

/* The same inside one process: the record as it lies in memory, which costs a copy of 15 kB where the JSON
 * costs the writing and reading of it. record_is_packed() tells the two apart; nothing in a packed one is
 * checked, so it is asked only of messages that no other process can have sent. */
void record_pack(const struct record *rec, struct buffer *out);
bool record_is_packed(const char *bytes, size_t length);
void record_unpack(const char *bytes, struct record *rec);

/* Parse a message into `rec` (reset first). Unknown members are passed over; an unknown major version is
 * refused. Fails with ERROR_INPUT. */
MUST_CHECK bool record_from_json(const char *json, size_t length, struct record *rec, struct error *err);

#endif
