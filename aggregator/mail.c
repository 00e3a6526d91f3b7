#include "aggregator/mail.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "common/utf8.h"

#define CONNECT_SECONDS 15
#define BODY_LINE_MAX 76 /* RFC 2045 Section 6.7 */

/* ---- the message ---- */

static const char *sender(const struct settings *settings)
{
    return settings->mail_from != NULL && settings->mail_from[0] != '\0' ? settings->mail_from
                                                                         : settings->your_email;
}

/* RFC 5322 Section 3.3, in English whatever the locale is. */
static void append_date(struct buffer *out, int64_t time_s)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm utc = {0};
    time_t seconds = (time_t)time_s;
    (void)gmtime_r(&seconds, &utc);
    buffer_append_format(out, "Date: %s, %d %s %04d %02d:%02d:%02d +0000\r\n", days[utc.tm_wday], utc.tm_mday,
                         months[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

/* The same over all tries, so that a mail that was taken twice can be told. */
static void append_message_id(struct buffer *out, const struct settings *settings, const char *job)
{
    buffer_append_text(out, "Message-ID: <");
    for (const char *c = job; *c != '\0'; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');
        buffer_append_char(out, plain ? *c : '-');
    }
    buffer_append_text(out, ".completed.v1");
    buffer_append_text(out, strchr(sender(settings), '@'));
    buffer_append_text(out, ">\r\n");
}

/* Quoted-printable: whatever stands in the folder's name, the message stays ASCII with short lines. */
static void append_quoted_printable(struct buffer *out, const char *text, size_t length)
{
    size_t column = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '\n') {
            buffer_append_text(out, "\r\n");
            column = 0;
            continue;
        }
        bool ends_line = i + 1 == length || text[i + 1] == '\n';
        bool plain = (c > ' ' && c < 0x7f && c != '=') || (c == ' ' && !ends_line);
        if (column + (plain ? 1 : 3) > BODY_LINE_MAX - 1) {
            buffer_append_text(out, "=\r\n");
            column = 0;
        }
        if (plain)
            buffer_append_char(out, (char)c);
        else
            buffer_append_format(out, "=%02X", (unsigned)c);
        column += plain ? 1 : 3;
    }
}

/* A folder's name as one line of UTF-8. */
static void append_folder(struct buffer *out, const char *name)
{
    size_t length = strlen(name);
    for (size_t at = 0; at < length;) {
        size_t step = utf8_step(name + at, length - at);
        unsigned char c = (unsigned char)name[at];
        if (step == 0 || c < ' ' || c == 0x7f) {
            buffer_append_format(out, "\\x%02X", (unsigned)c);
            at++;
            continue;
        }
        buffer_append(out, name + at, step);
        at += step;
    }
}

static void append_body(struct buffer *out, const struct mail *mail)
{
    const struct store_counts *counts = &mail->counts;
    struct buffer body = {0};
    buffer_append_text(&body, "The extraction of PNG pictures and metadata is complete.\n\nFiles found: ");
    buffer_append_u64(&body, counts->found);
    buffer_append_text(&body, "\n  converted: ");
    buffer_append_u64(&body, counts->converted);
    buffer_append_text(&body, " (pictures: ");
    buffer_append_u64(&body, counts->pictures);
    buffer_append_text(&body, ")\n  without image: ");
    buffer_append_u64(&body, counts->no_image);
    buffer_append_text(&body, "\n  ignored, not DICOM: ");
    buffer_append_u64(&body, counts->ignored);
    buffer_append_text(&body, "\n  failed: ");
    buffer_append_u64(&body, counts->failed);
    buffer_append_text(&body, "\n");
    for (int category = CATEGORY_NOT_USABLE; category <= CATEGORY_TOO_MANY; category++)
        if (counts->failed_by_category[category] > 0)
            buffer_append_format(&body, "    failed-dicom/%d: %llu\n", category,
                                 (unsigned long long)counts->failed_by_category[category]);
    buffer_append_text(&body, "\nThe tables metadata.csv, mapping.csv and failures.csv lie in\n");
    append_folder(&body, mail->output_directory == NULL ? "" : mail->output_directory);
    buffer_append_text(&body, "\n");
    append_quoted_printable(out, body.data, body.length);
    buffer_clear(&body);
}

void mail_compose(struct buffer *out, const struct settings *settings, const struct mail *mail)
{
    /* Every header is ASCII: the addresses were checked, the rest is ours. */
    buffer_append_format(out, "From: <%s>\r\nTo: <%s>\r\n", sender(settings), settings->your_email);
    buffer_append_format(out, "Subject: niffler-png: %llu converted, %llu failed, %llu without image\r\n",
                         (unsigned long long)mail->counts.converted, (unsigned long long)mail->counts.failed,
                         (unsigned long long)mail->counts.no_image);
    append_date(out, mail->time_s);
    append_message_id(out, settings, mail->job);
    buffer_append_text(out, "Auto-Submitted: auto-generated\r\n"
                            "MIME-Version: 1.0\r\n"
                            "Content-Type: text/plain; charset=utf-8\r\n"
                            "Content-Transfer-Encoding: quoted-printable\r\n"
                            "\r\n");
    append_body(out, mail);
}

/* ---- sending ---- */

struct upload {
    const char *at;
    size_t left;
};

static size_t read_upload(char *out, size_t size, size_t count, void *context)
{
    struct upload *upload = context;
    size_t length = size * count < upload->left ? size * count : upload->left;
    if (length > 0)
        memcpy(out, upload->at, length);
    upload->at += length;
    upload->left -= length;
    return length;
}

static bool is_lasting(CURLcode code)
{
    switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_USE_SSL_FAILED:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_LOGIN_DENIED:
        return true;
    default:
        return false;
    }
}

static bool report(CURL *curl, CURLcode code, const char *words, struct error *err)
{
    long answer = 0;
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer);
    const char *text = words[0] != '\0' ? words : curl_easy_strerror(code);
    if (answer >= 400)
        return error_set(err, answer >= 500 ? ERROR_INPUT : ERROR_RETRY, "the mail server refused (%ld): %s",
                         answer, text);
    return error_set(err, is_lasting(code) ? ERROR_INPUT : ERROR_RETRY, "cannot send the e-mail: %s", text);
}

/* Everything about the connection. The proxy variables of the environment are meant for HTTP: not used.
 * CURLOPT_TIMEOUT ends the transfer, but libcurl then says QUIT and waits for an answer, two minutes if it
 * may: so the answer has a limit of its own, and a server that hangs costs at most twice the time. */
static CURLcode set_connection(CURL *curl, const struct settings *settings, unsigned timeout_seconds)
{
    const struct {
        CURLoption option;
        long value;
    } numbers[] = {
        {CURLOPT_NOSIGNAL, 1},
        {CURLOPT_UPLOAD, 1},
        {CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS},
        {CURLOPT_TIMEOUT, (long)timeout_seconds},
        {CURLOPT_SERVER_RESPONSE_TIMEOUT, (long)timeout_seconds},
        {CURLOPT_SSL_VERIFYPEER, 1},
        {CURLOPT_SSL_VERIFYHOST, 2},
        {CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2},
        {CURLOPT_USE_SSL, settings->smtp_start_tls == SMTP_START_TLS_OFF ? CURLUSESSL_NONE : CURLUSESSL_ALL},
    };
    CURLcode code = curl_easy_setopt(curl, CURLOPT_URL, settings->smtp_url);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && code == CURLE_OK; i++)
        code = curl_easy_setopt(curl, numbers[i].option, numbers[i].value);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_PROXY, "");
    if (code == CURLE_OK && settings->smtp_ca_file != NULL && settings->smtp_ca_file[0] != '\0') {
        code = curl_easy_setopt(curl, CURLOPT_CAINFO, settings->smtp_ca_file);
        if (code == CURLE_OK) /* only these, not the system's folder as well */
            code = curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    }
    return code;
}

static CURLcode set_message(CURL *curl, const struct settings *settings, struct curl_slist *recipients,
                            struct upload *upload)
{
    CURLcode code = curl_easy_setopt(curl, CURLOPT_MAIL_FROM, sender(settings));
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_MAIL_RCPT, recipients);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_READFUNCTION, read_upload);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_READDATA, upload);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)upload->left);
    return code;
}

/* libcurl keeps a copy of the password until the handle is freed. */
static bool set_login(CURL *curl, const struct settings *settings, CURLcode *code, struct error *err)
{
    char password[MAIL_PASSWORD_MAX];
    if (settings->smtp_user == NULL || settings->smtp_user[0] == '\0')
        return true;
    if (!mail_read_password(settings, password, err))
        return false;
    *code = curl_easy_setopt(curl, CURLOPT_USERNAME, settings->smtp_user);
    if (*code == CURLE_OK)
        *code = curl_easy_setopt(curl, CURLOPT_PASSWORD, password);
    explicit_bzero(password, sizeof password);
    return true;
}

bool mail_send_once(const struct settings *settings, const struct mail *mail, struct error *err)
{
    struct buffer message = {0};
    struct upload upload = {0};
    struct curl_slist *recipients = NULL;
    CURL *curl = NULL;
    CURLcode code;
    char words[CURL_ERROR_SIZE] = "";
    bool ok = false;

    /* Addresses are looked at again here: nothing unchecked may reach libcurl, whoever calls. */
    if (!mail_is_wanted(settings))
        return error_set(err, ERROR_FATAL, "an e-mail needs YourEmail and SmtpUrl");
    if (!mail_check_settings(settings, err))
        return false;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return error_set(err, ERROR_RETRY, "cannot set up libcurl");
    mail_compose(&message, settings, mail);
    upload = (struct upload){message.data, message.length};
    curl = curl_easy_init();
    recipients = curl_slist_append(NULL, settings->your_email);
    if (curl == NULL || recipients == NULL) {
        (void)error_set(err, ERROR_RETRY, "cannot set up libcurl");
        goto out;
    }
    unsigned timeout = mail->timeout_seconds != 0 ? mail->timeout_seconds : MAIL_TIMEOUT_SECONDS;
    code = curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, words);
    if (code == CURLE_OK)
        code = set_connection(curl, settings, timeout);
    if (code == CURLE_OK)
        code = set_message(curl, settings, recipients, &upload);
    if (code == CURLE_OK && !set_login(curl, settings, &code, err))
        goto out;
    if (code == CURLE_OK)
        code = curl_easy_perform(curl);
    ok = code == CURLE_OK || report(curl, code, words, err);
out:
    curl_slist_free_all(recipients);
    curl_easy_cleanup(curl);
    curl_global_cleanup();
    buffer_clear(&message);
    return ok;
}

bool mail_send(const struct settings *settings, const struct mail *mail, unsigned attempts,
               unsigned backoff_ms, struct error *err)
{
    for (unsigned attempt = 1;; attempt++) {
        if (mail_send_once(settings, mail, err))
            return true;
        if (err->kind != ERROR_RETRY || attempt >= attempts)
            return false;
        log_event(LOG_LEVEL_WARN, "aggregator", "mail_retry", "attempt=%u wait_ms=%u reason=%s", attempt,
                  backoff_ms, log_text(err->text));
        struct timespec wait = {.tv_sec = backoff_ms / 1000, .tv_nsec = (long)(backoff_ms % 1000) * 1000000};
        (void)nanosleep(&wait, NULL);
        backoff_ms = backoff_ms < 1800000 ? backoff_ms * 2 : 3600000;
    }
}
