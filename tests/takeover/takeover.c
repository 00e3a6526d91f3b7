/* The wrapped functions of the decoder: which file means what, and how the worker learns what came of it. */
#include "tests/takeover/takeover.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "worker/decoder/dicom/dicom.h"
#include "worker/wire.h"

#define MARK "taken over: "

bool __real_dicom_read(struct dicom *dcm, int descriptor, const struct options *options, struct error *err);
bool __wrap_dicom_read(struct dicom *dcm, int descriptor, const struct options *options, struct error *err);
bool __real_pngout_write(struct pngout *png, int descriptor, const struct pngout_shape *shape,
                         const struct pngout_extras *extras, pngout_row_fn *row, void *context,
                         uint64_t *written, struct error *err);
bool __wrap_pngout_write(struct pngout *png, int descriptor, const struct pngout_shape *shape,
                         const struct pngout_extras *extras, pngout_row_fn *row, void *context,
                         uint64_t *written, struct error *err);
bool __real_wire_reply(int pipe, const void *bytes, size_t length, struct error *err);
bool __wrap_wire_reply(int pipe, const void *bytes, size_t length, struct error *err);

static struct scene scene; /* of the file at hand; no name: an ordinary one */

/* Before the confinement, which lets nobody ask. */
__attribute__((constructor)) static void remember_worker(void)
{
    scene.worker = getppid();
}

static void read_mark(int descriptor)
{
    char preamble[129] = "";
    scene.name[0] = '\0';
    scene.descriptor = descriptor;
    if (pread(descriptor, preamble, sizeof preamble - 1, 0) > 0 && strncmp(preamble, MARK, strlen(MARK)) == 0)
        (void)sscanf(preamble + strlen(MARK), "%31s %95s %d", scene.name, scene.path, &scene.number);
}

static attempt_fn *find(const struct attempt *attempts, const char *name)
{
    for (; attempts->name != NULL; attempts++)
        if (strcmp(attempts->name, name) == 0)
            return attempts->run;
    return NULL;
}

/* What came of it becomes the reason of the file's failure. */
static bool report(attempt_fn *run, struct error *err)
{
    errno = 0;
    bool is_done = run(&scene);
    int number = errno;
    errno = 0; /* the decoder takes what stands there for the cause of a failure */
    if (is_done)
        return error_input(err, CATEGORY_UNDECODABLE, CODE_CODEC, "%s: done", scene.name);
    return error_input(err, CATEGORY_UNDECODABLE, CODE_CODEC, "%s: refused: %s", scene.name,
                       strerror(number));
}

bool __wrap_dicom_read(struct dicom *dcm, int descriptor, const struct options *options, struct error *err)
{
    const struct attempt *const lists[] = {attempts_on_files, attempts_on_processes, attempts_on_networks,
                                           attempts_on_memory, attempts_on_kernel};
    read_mark(descriptor);
    for (size_t i = 0; i < sizeof lists / sizeof *lists && scene.name[0] != '\0'; i++) {
        attempt_fn *run = find(lists[i], scene.name);
        if (run != NULL)
            return report(run, err);
    }
    return __real_dicom_read(dcm, descriptor, options, err);
}

bool __wrap_pngout_write(struct pngout *png, int descriptor, const struct pngout_shape *shape,
                         const struct pngout_extras *extras, pngout_row_fn *row, void *context,
                         uint64_t *written, struct error *err)
{
    attempt_fn *run = scene.name[0] != '\0' ? find(attempts_on_output, scene.name) : NULL;
    scene.descriptor = descriptor;
    if (run != NULL)
        return report(run, err);
    for (const struct picture_lie *lie = picture_lies; lie->name != NULL; lie++)
        if (strcmp(lie->name, scene.name) == 0) {
            lie->write(descriptor, shape, written);
            return true;
        }
    return __real_pngout_write(png, descriptor, shape, extras, row, context, written, err);
}

bool __wrap_wire_reply(int pipe, const void *bytes, size_t length, struct error *err)
{
    bool is_reply = pipe == WIRE_REPLY_DESCRIPTOR; /* and no ring */
    for (const struct answer *answer = answers; answer->name != NULL && is_reply; answer++)
        if (strcmp(answer->name, scene.name) == 0) {
            answer->send(bytes, length);
            return true;
        }
    return (is_reply && takeover_answer(bytes, length)) || __real_wire_reply(pipe, bytes, length, err);
}

void takeover_send(const void *bytes, size_t length)
{
    struct error err;
    if (!__real_wire_reply(WIRE_REPLY_DESCRIPTOR, bytes, length, &err))
        _exit(0);
}

void takeover_wait(void)
{
    uint8_t bytes[64];
    int descriptors[WIRE_MAX_DESCRIPTORS];
    size_t received, count;
    struct error err;
    while (wire_receive(WIRE_CONTROL_DESCRIPTOR, true, bytes, sizeof bytes, &received, descriptors, &count,
                        &err) &&
           received > 0)
        continue;
    _exit(0);
}
