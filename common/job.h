/* job.h: one extraction, and the notices about it that share the results topic with the records.
 *
 *     open      the producer's first word: what the job is
 *     sealed    its last word: how many files
 *     cancel    a user's: do no more
 *     requeue   a user's: do the failed files again
 *
 * All go by the job's id as the key, so that one consumer sees a whole job in one partition, in order. A
 * notice names its "type" before anything but "v"; a record has none. JSON form: MESSAGES.md. No secret is
 * ever in them. */
#ifndef NIFFLER_COMMON_JOB_H
#define NIFFLER_COMMON_JOB_H

#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"
#include "common/options.h"
#include "common/settings.h"

/* An id: 26 characters of Crockford's base 32, 48 bits of time, then 80 random ones, so that ids sort by age.
 */
#define JOB_ID_SIZE 27
#define JOB_ID_SPACE 32 /* what structs reserve */

/* Files of a job. A bit for each is held in memory when all are done: 512 MB for so many. */
#define JOB_FILES_MAX ((uint64_t)1 << 32)

void job_new_id(char id[JOB_ID_SPACE]);
bool job_is_id(const char *text);

/* Copy `text` where it is an id; else false, and `id` is empty. */
bool job_take_id(char id[JOB_ID_SPACE], const char *text);

/* What everybody but the workers must know of a job (they know what their tasks say). Texts are borrowed, or
 * in `text` after notice_from_json(). */
struct job {
    char id[JOB_ID_SPACE];
    const char *input;            /* below InputRoot; "." is the root itself */
    const char *output;           /* below OutputRoot */
    const char *dicom_home;       /* as the tables show it */
    const char *output_directory; /* as the mail, and the tables under compatibility, show it */
    struct options options;
    bool common_headers_only;
    bool csv_formula_guard;
    const char *features;   /* content of FeatureSetFile; NULL: all columns are wanted */
    const char *your_email; /* NULL: no e-mail */
    int64_t created_s;      /* since 1970 */
    struct buffer text;
};

/* Fill from settings; `features` and `text` are left empty. Borrows the settings' texts. */
void job_from_settings(struct job *job, const struct settings *settings);
void job_clear(struct job *job); /* accepts a zeroed one */

enum notice_type { NOTICE_OPEN, NOTICE_SEALED, NOTICE_CANCEL, NOTICE_REQUEUE };

#define NOTICE_VERSION 1

struct notice {
    enum notice_type type;
    struct job job;             /* of NOTICE_OPEN; of the others the id only */
    uint64_t total;             /* of NOTICE_SEALED: files */
    unsigned category;          /* of NOTICE_REQUEUE: 1 to 4, or 0 for all */
    char request[JOB_ID_SPACE]; /* of NOTICE_REQUEUE: an id of its own, by which one that comes twice is told
                                 */
};

void notice_to_json(const struct notice *notice, struct buffer *out);

/* Whether a message of the results topic is a notice, so far as its beginning tells. */
bool notice_is_one(const char *json, size_t length);

/* Parse into a zeroed or used notice; job_clear(&notice->job) frees. Fails with ERROR_INPUT. */
MUST_CHECK bool notice_from_json(const char *json, size_t length, struct notice *notice, struct error *err);

/* Append a dead letter: a message of `kind` ("task", "record" or "notice") that could not be used, and why;
 * of a long one the beginning. Bytes that are not UTF-8 come out as json.h says; a NUL as \u0000. */
#define LETTER_BYTES_MAX 65536
void letter_to_json(const char *kind, const char *reason, const char *bytes, size_t length,
                    struct buffer *out);

/* What is in the output folder of a job, besides its outputs: what the roles leave for each other there. */
#define JOB_FOLDER ".niffler-png"
#define JOB_LOCK JOB_FOLDER "/lock"       /* held by the producer, or `extract`, while it runs */
#define JOB_JOURNAL JOB_FOLDER "/journal" /* the producer's list of files */
#define JOB_FILE JOB_FOLDER "/job"        /* the notice "open" of the last job, for --resume */
#define JOB_OPEN JOB_FOLDER "/open"       /* the id of the job that is not complete; absent when none is */
#define JOB_CLOSED JOB_FOLDER "/closed"   /* a file for each job that is over: the last round to be skipped */
#define JOB_RECORDS JOB_FOLDER "/records" /* records that were too long to send */
#define JOB_SLICES JOB_FOLDER "/slices"   /* state, log and lock of each slice of `extract --slice` */
#define JOB_ARRAY JOB_SLICES "/array"     /* which slices belong together; gone once another job begins */

/* Read a short text below the folder `dir`, NUL-terminated, at most size - 1 bytes, without a line end.
 * *found is false where there is none. Fails with ERROR_RETRY. */
MUST_CHECK bool job_read_mark(int dir, const char *path, char *text, size_t size, bool *found,
                              struct error *err);

/* Write such a text, whole or not at all. Fails with ERROR_RETRY. */
MUST_CHECK bool job_write_mark(int dir, const char *path, const char *text, struct error *err);

/* Remove one, if it is there. Fails with ERROR_RETRY. */
MUST_CHECK bool job_remove_mark(int dir, const char *path, struct error *err);

#endif
