/* Whether decoders can be confined here is not asked of the kernel but tried: a container may refuse what the
 * kernel has. */
#include "doctor.h"

#include <stdlib.h>

#include "worker/find_decoder.h"
#include "worker/pool.h"

static void say(struct doctor *doctor, const struct confinement *confinement)
{
    const struct settings *settings = doctor->settings;
    bool is_fleet = settings->kafka_brokers != NULL;
    bool is_needed = settings->sandbox == SANDBOX_REQUIRED || (settings->sandbox == SANDBOX_AUTO && is_fleet);
    struct buffer there = {0}, missing = {0};
    struct error err = {0};
    confinement_append(confinement, true, &there);
    confinement_append(confinement, false, &missing);
    if (!confinement_check(confinement, &err))
        doctor_say(doctor, is_needed ? DOCTOR_FAIL : DOCTOR_WARN, "sandbox", "%s (in force: %s; missing: %s)",
                   err.text, buffer_text(&there), buffer_text(&missing));
    else
        doctor_say(doctor, DOCTOR_OK, "sandbox",
                   "decoders are confined: %s (Landlock's version is %u; not in this kernel: %s)",
                   buffer_text(&there), confinement->landlock_abi, buffer_text(&missing));
    buffer_clear(&there);
    buffer_clear(&missing);
}

void doctor_check_sandbox(struct doctor *doctor)
{
    const struct settings *settings = doctor->settings;
    struct error err = {0};
    struct pool *pool = NULL;
    char *program = find_decoder(settings, &err);
    const struct pool_options options = {.program = program,
                                         .count = 1,
                                         .memory_bytes = settings->decoder_memory_bytes,
                                         .seconds = settings->decoder_seconds,
                                         .reply_bytes = POOL_REPLY_OVERHEAD_BYTES,
                                         .file_bytes = settings->options.max_picture_bytes};
    if (program == NULL || !pool_start(&pool, &options, &err))
        doctor_say(doctor, DOCTOR_FAIL, "sandbox", "%s", err.text);
    else
        say(doctor, pool_confinement(pool));
    pool_stop(pool);
    free(program);
}
