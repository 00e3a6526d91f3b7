#include "probe.h"

#include <stdio.h>

#include "common/health_ask.h"

const struct command_argument health_arguments[] = {
    {"--live", NULL, false, "Ask whether its main loop goes round, in place of whether it can work."},
    {NULL, NULL, false, NULL},
};

bool health_run(const struct settings *settings, const struct command_line *line, int *exit_status,
                struct error *err)
{
    const char *page = command_value(line, "--live") != NULL ? "/livez" : "/readyz";
    struct buffer words = {0};
    bool is_good = false;
    bool ok = false;
    *exit_status = EXIT_STATUS_USAGE;
    if (settings->metrics_listen == NULL || settings->metrics_listen[0] == '\0') {
        (void)error_set(err, ERROR_FATAL, "'MetricsListen' is not set: without it nobody can be asked");
        goto out;
    }
    if (!health_ask(settings->metrics_listen, page, &is_good, &words, err)) {
        *exit_status = err->kind == ERROR_FATAL ? EXIT_STATUS_USAGE : command_exit_status(err);
        goto out;
    }
    (void)puts(buffer_text(&words));
    *exit_status = is_good ? EXIT_STATUS_DONE : EXIT_STATUS_SOME_FAILED;
    ok = true;
out:
    buffer_clear(&words);
    return ok;
}
