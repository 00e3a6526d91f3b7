/* work_file.h: one file on its way through a decoder: its task, its record, and what is known of it so far.
 */
#ifndef NIFFLER_WORKER_WORK_FILE_H
#define NIFFLER_WORKER_WORK_FILE_H

#include <sys/stat.h>

#include "common/files.h"
#include "common/queue.h"
#include "common/record.h"
#include "common/task.h"
#include "worker/metadata.h"
#include "worker/naming.h"
#include "worker/places.h"
#include "worker/wire.h"

struct work_file {
    struct work_file *next; /* in one of the worker's lists */
    struct queue_message message;
    bool is_tried_again; /* its decoder crashed once: this is the last try, and it runs alone */
    bool is_alone;       /* nothing else may be in the decoders */
    bool is_probe;       /* shows whether the storage works again */
    int64_t begun_ms;    /* of meter_now_ms() */
    int64_t asked_ms;    /* its decoder; 0: no decoder had it */
    int64_t answered_ms;

    /* Of the present try. */
    uint32_t number; /* by which its decoder's answers are told from those about other files */
    struct task task;
    struct place *place;
    struct record rec;
    struct stat status; /* of the input when it was opened */
    int input;          /* -1: not open                    */
    bool has_identity;
    struct metadata_identity identity; /* texts in `identity_text` */
    struct buffer identity_text;
    size_t attribute_count;
    enum wire_object object;
    uint32_t frame_count;        /* of the file */
    uint32_t frames_there;       /* that the pixel data holds, from the first on    */
    struct wire_failure missing; /* why there are no more, to be said after the last of them */
    uint32_t frame_index;        /* the one that is awaited */
    bool is_decoded;             /* every frame so far */
};

struct work_file *work_file_new(void);
void work_file_free(struct work_file *file); /* accepts NULL; the message stays unacknowledged */

/* Begin anew, as if the message had just come; what is open is closed. */
void work_file_reset(struct work_file *file);

/* A list, first in, first out. */
struct work_list {
    struct work_file *first;
    struct work_file **end; /* NULL: the list is empty and was never used */
    size_t count;
};
void work_list_add(struct work_list *list, struct work_file *file);
struct work_file *work_list_take(struct work_list *list); /* NULL where it is empty */
void work_list_free(struct work_list *list);

/* Open the input and note its size and time. Fails as files_open_input(). */
MUST_CHECK bool work_file_open(struct work_file *file, const struct files_roots *rules, struct error *err);

/* The columns and names are known (metadata.h's own copy is the next file's soon). */
void work_file_keep_identity(struct work_file *file, const struct metadata_identity *from);
bool work_file_has_patient(const struct work_file *file);

/* Whether another frame is wanted behind frame `frame_index`. */
bool work_file_has_more_frames(const struct work_file *file,
                               uint32_t frame_index); /* PatientID is there, with one value */

/* A file that changed under the reader is neither the old nor the new one: its pictures are taken back, and
 * the record is a failure. */
void work_file_check_unchanged(struct work_file *file);

/* Copy a file that failed, by category; of one with too many attributes too. `is_synced`: the copy is on disk
 * then. `path` is for scratch. Fails with ERROR_RETRY. */
MUST_CHECK bool work_file_copy_failed(struct work_file *file, struct naming *naming, bool is_synced,
                                      struct buffer *path, struct error *err);

/* Append the message for the record, as `results` carries it: packed within this process, else as JSON; where
 * that is longer than the queue takes, one that names a file below JOB_RECORDS which holds it. Fails with
 * ERROR_RETRY. */
MUST_CHECK bool work_file_write_record(struct work_file *file, struct queue *results, struct buffer *json,
                                       struct error *err);

#endif
