/* takeover.h: a decoder that somebody has taken over: what he tries, and what he answers.
 *
 * niffler-png-decoder-misbehaving is the decoder itself, from the same objects, with three functions wrapped
 * by the linker: dicom_read(), pngout_write() and wire_reply(). A file whose preamble says
 *
 *     taken over: NAME [PATH [NUMBER]]
 *
 * does NAME, behind the confinement, as code that the file had brought along would; every other file is
 * converted as ever. niffler-png-decoder-misbehaving-unconfined is the same with sandbox_none.c: what is
 * "done" there and not with confinement is the confinement's doing. */
#ifndef NIFFLER_TESTS_TAKEOVER_TAKEOVER_H
#define NIFFLER_TESTS_TAKEOVER_TAKEOVER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "worker/decoder/png/pngout.h"

struct scene {
    char name[32];
    char path[96];  /* a file or folder that is not the decoder's business */
    int number;     /* a descriptor, or a port                             */
    int descriptor; /* the input; for pictures the output                  */
    pid_t worker;
};

/* True when it was done; false with errno when it was refused. Many are never refused: the process ends. */
typedef bool attempt_fn(const struct scene *scene);

struct attempt {
    const char *name;
    attempt_fn *run;
};

/* Ended by a row without a name. */
extern const struct attempt attempts_on_files[];
extern const struct attempt attempts_on_processes[];
extern const struct attempt attempts_on_networks[];
extern const struct attempt attempts_on_memory[];
extern const struct attempt attempts_on_kernel[];
extern const struct attempt attempts_on_output[]; /* in place of a picture */

/* Send something else than `message`, a whole reply that the decoder wanted to send. */
typedef void answer_fn(const uint8_t *message, size_t length);

struct answer {
    const char *name;
    answer_fn *send;
};
extern const struct answer answers[];

/* Write something to the output that is not the picture wanted, and claim *written bytes. */
typedef void picture_fn(int output, const struct pngout_shape *shape, uint64_t *written);

struct picture_lie {
    const char *name;
    picture_fn *write;
};
extern const struct picture_lie picture_lies[];

void takeover_send(const void *bytes, size_t length); /* to the worker */
_Noreturn void takeover_wait(void);                   /* until somebody ends us */

#endif
