/* Each check says one thing, and goes on: what fails first is often not what is wrong. */
#include "doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "aggregator/mail.h"
#include "aggregator/mail_probe.h"
#include "common/json.h"
#include "common/log.h"

const struct command_argument doctor_arguments[] = {
    {"--json", NULL, false,
     "Print one JSON array of {check, state, detail}; state is ok, warn, fail or skip."},
    {NULL, NULL, false, NULL},
};

void doctor_say(struct doctor *doctor, enum doctor_state state, const char *check, const char *format, ...)
{
    static const char *const words[] = {"ok", "warn", "FAIL", "skip"};
    static const char *const json_words[] = {"ok", "warn", "fail", "skip"};
    char detail[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    doctor->checked += state != DOCTOR_SKIP ? 1 : 0;
    doctor->failed += state == DOCTOR_FAIL ? 1 : 0;
    if (!doctor->is_json) {
        for (char *c = detail; *c != '\0'; c++) /* a setting or a server's words may hold anything */
            *c = (unsigned char)*c < ' ' || *c == 0x7f ? '?' : *c;
        (void)printf("%-4s  %s: %s\n", words[state], check, detail);
        (void)fflush(stdout);
        return;
    }
    buffer_append_text(&doctor->json, doctor->json.length == 0 ? "[\n {\"check\": " : ",\n {\"check\": ");
    json_append_string(&doctor->json, check, strlen(check));
    buffer_append_format(&doctor->json, ", \"state\": \"%s\", \"detail\": ", json_words[state]);
    json_append_string(&doctor->json, detail, strlen(detail));
    buffer_append_char(&doctor->json, '}');
}

static bool is_given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

#define MAIL_SECONDS 15

void doctor_check_mail(struct doctor *doctor)
{
    const struct settings *settings = doctor->settings;
    struct error err = {0};
    if (!is_given(settings->smtp_url)) {
        doctor_say(doctor, DOCTOR_SKIP, "mail", "SmtpUrl is not set: no e-mail is sent at the end of a job");
        return;
    }
    if (!mail_check_settings(settings, &err) || !mail_probe(settings, MAIL_SECONDS, &err)) {
        doctor_say(doctor, DOCTOR_FAIL, "mail", "%s", err.text);
        return;
    }
    bool is_login = is_given(settings->smtp_user);
    const char *login = is_login ? ", and takes the login" : "";
    if (!settings->send_email || !is_given(settings->your_email))
        doctor_say(doctor, DOCTOR_WARN, "mail",
                   "the server answers%s, but no e-mail is sent: set SendEmail and YourEmail", login);
    else if (is_login && mail_probe_is_plain(settings))
        doctor_say(doctor, DOCTOR_WARN, "mail",
                   "the server answers%s, but the password goes over the network as it is: set SmtpStartTls "
                   "to required",
                   login);
    else
        doctor_say(doctor, DOCTOR_OK, "mail", "the server answers%s%s", login,
                   mail_probe_is_plain(settings) ? ", without encryption" : ", encrypted");
}

bool doctor_run(const struct settings *settings, const struct command_line *line, int *exit_status,
                struct error *err)
{
    struct doctor doctor = {.settings = settings, .is_json = command_value(line, "--json") != NULL};
    (void)err;
    log_open(STDERR_FILENO, -1,
             settings->log_level); /* what libraries say of a connection is half of the answer */
    doctor_check_folders(&doctor);
    doctor_check_kafka(&doctor);
    doctor_check_redis(&doctor);
    doctor_check_mail(&doctor);
    bool is_empty = doctor.checked == 0;
    doctor_check_sandbox(&doctor);
    if (doctor.is_json)
        (void)printf("%s\n]\n", buffer_text(&doctor.json));
    else if (is_empty)
        (void)puts("nothing else to check: no setting names a folder or a server; see niffler-png --help");
    *exit_status = doctor.failed > 0 ? EXIT_STATUS_WORLD_FAILED
                   : is_empty        ? EXIT_STATUS_USAGE
                                     : EXIT_STATUS_DONE;
    buffer_clear(&doctor.json);
    return true;
}
