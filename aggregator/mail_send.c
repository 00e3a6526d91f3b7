/* Sending the e-mail, by libcurl: the connection, and what ends it early. */
#include <assert.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "aggregator/mail_connection.h"
#include "aggregator/mail_internal.h"
#include "common/alloc.h"
#include "common/log.h"

#define CONNECT_SECONDS 15

/* ---- stopping ---- */

/* libcurl waits for answers inside of one call, and asks only once a second whether to go on; after that it
 * says QUIT and waits again. So the connections are shut down under it, which ends every wait at once. */
#define SOCKETS_MAX 4 /* under way at the same time: one for IPv4, one for IPv6 */

struct mail_stop {
    pthread_mutex_t mutex; /* guards all below */
    bool is_set;
    curl_socket_t sockets[SOCKETS_MAX]; /* CURL_SOCKET_BAD: free place */
};

/* One sending with what may end it. */
struct transfer {
    CURL *curl;
    struct mail_stop *stop; /* NULL: nothing */
};

/* A mutex of our own that fails is our mistake, not the world's. */
static void lock(struct mail_stop *stop)
{
    int failed = pthread_mutex_lock(&stop->mutex);
    assert(failed == 0);
    (void)failed;
}

static void unlock(struct mail_stop *stop)
{
    int failed = pthread_mutex_unlock(&stop->mutex);
    assert(failed == 0);
    (void)failed;
}

static bool is_stopped(struct mail_stop *stop)
{
    if (stop == NULL)
        return false;
    lock(stop);
    bool is_set = stop->is_set;
    unlock(stop);
    return is_set;
}

/* Exchange one entry of the list. */
static void note_socket(struct mail_stop *stop, curl_socket_t from, curl_socket_t to)
{
    for (size_t i = 0; i < SOCKETS_MAX; i++)
        if (stop->sockets[i] == from) {
            stop->sockets[i] = to;
            return;
        }
}

static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct mail_stop *stop = context;
    (void)purpose;
    lock(stop);
    curl_socket_t opened = stop->is_set
                               ? CURL_SOCKET_BAD
                               : socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (opened != CURL_SOCKET_BAD)
        note_socket(stop, CURL_SOCKET_BAD, opened);
    unlock(stop);
    return opened;
}

/* Under the lock: a number that is closed may be given out again at once, and must not be shut down then. */
static int close_socket(void *context, curl_socket_t closing)
{
    struct mail_stop *stop = context;
    lock(stop);
    note_socket(stop, closing, CURL_SOCKET_BAD);
    int failed = close(closing);
    unlock(stop);
    return failed;
}

/* For the waits without a connection. A resolver that does not answer is left to itself: libcurl would wait
 * until it gives up. */
static int ask_whether_to_go_on(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                                curl_off_t up)
{
    struct transfer *transfer = context;
    (void)down_total;
    (void)down;
    (void)up_total;
    (void)up;
    if (!is_stopped(transfer->stop))
        return 0;
    (void)curl_easy_setopt(transfer->curl, CURLOPT_QUICK_EXIT, 1L);
    return 1;
}

static CURLcode set_stop(struct transfer *transfer)
{
    CURL *curl = transfer->curl;
    CURLcode code = curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, transfer->stop);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_CLOSESOCKETDATA, transfer->stop);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, ask_whether_to_go_on);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_XFERINFODATA, transfer);
    return code == CURLE_OK ? curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L) : code;
}

bool mail_stop_open(struct mail_stop **result, struct error *err)
{
    struct mail_stop *stop = xcalloc(1, sizeof *stop);
    *result = NULL;
    for (size_t i = 0; i < SOCKETS_MAX; i++)
        stop->sockets[i] = CURL_SOCKET_BAD;
    if (pthread_mutex_init(&stop->mutex, NULL) != 0) {
        free(stop);
        return error_set(err, ERROR_FATAL, "cannot set up the sending of e-mails");
    }
    *result = stop;
    return true;
}

void mail_stop_now(struct mail_stop *stop)
{
    if (stop == NULL)
        return;
    lock(stop);
    stop->is_set = true;
    for (size_t i = 0; i < SOCKETS_MAX; i++)
        if (stop->sockets[i] != CURL_SOCKET_BAD)
            (void)shutdown(stop->sockets[i], SHUT_RDWR);
    unlock(stop);
}

void mail_stop_close(struct mail_stop *stop)
{
    if (stop == NULL)
        return;
    (void)pthread_mutex_destroy(&stop->mutex);
    free(stop);
}

/* ---- the transfer ---- */

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

bool mail_is_lasting(CURLcode code)
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
    return error_set(err, mail_is_lasting(code) ? ERROR_INPUT : ERROR_RETRY, "cannot send the e-mail: %s",
                     text);
}

/* Everything about the connection. The proxy variables of the environment are meant for HTTP: not used.
 * CURLOPT_TIMEOUT ends the transfer, but libcurl then says QUIT and waits for an answer, two minutes if it
 * may: so the answer has a limit of its own, and a server that hangs costs at most twice the time. */
CURLcode mail_set_connection(CURL *curl, const struct settings *settings, unsigned timeout_seconds)
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

static CURLcode set_message(CURL *curl, const struct settings *settings, const struct mail *mail,
                            struct curl_slist *recipients, struct upload *upload)
{
    CURLcode code = curl_easy_setopt(curl, CURLOPT_MAIL_FROM, mail_sender(settings, mail));
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
bool mail_set_login(CURL *curl, const struct settings *settings, CURLcode *code, struct error *err)
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

/* ---- sending ---- */

/* Addresses are looked at again here: nothing unchecked may reach libcurl, whoever calls, and the recipient
 * may come from a message. */
static bool check(const struct settings *settings, const struct mail *mail, struct error *err)
{
    if (mail->to == NULL || mail->to[0] == '\0' || settings->smtp_url == NULL ||
        settings->smtp_url[0] == '\0')
        return error_set(err, ERROR_FATAL, "an e-mail needs YourEmail and SmtpUrl");
    return mail_check_address("YourEmail", mail->to, err) && mail_check_settings(settings, err);
}

bool mail_send_stoppable(const struct settings *settings, const struct mail *mail, struct mail_stop *stop,
                         struct error *err)
{
    struct buffer message = {0};
    struct upload upload = {0};
    struct transfer transfer = {.stop = stop};
    struct curl_slist *recipients = NULL;
    CURLcode code;
    char words[CURL_ERROR_SIZE] = "";
    bool ok = false;

    if (!check(settings, mail, err))
        return false;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return error_set(err, ERROR_RETRY, "cannot set up libcurl");
    mail_compose(&message, settings, mail);
    upload = (struct upload){message.data, message.length};
    transfer.curl = curl_easy_init();
    recipients = curl_slist_append(NULL, mail->to);
    if (transfer.curl == NULL || recipients == NULL) {
        (void)error_set(err, ERROR_RETRY, "cannot set up libcurl");
        goto out;
    }
    unsigned timeout = mail->timeout_seconds != 0 ? mail->timeout_seconds : MAIL_TIMEOUT_SECONDS;
    code = curl_easy_setopt(transfer.curl, CURLOPT_ERRORBUFFER, words);
    if (code == CURLE_OK)
        code = mail_set_connection(transfer.curl, settings, timeout);
    if (code == CURLE_OK && stop != NULL)
        code = set_stop(&transfer);
    if (code == CURLE_OK)
        code = set_message(transfer.curl, settings, mail, recipients, &upload);
    if (code == CURLE_OK && !mail_set_login(transfer.curl, settings, &code, err))
        goto out;
    if (code == CURLE_OK)
        code = curl_easy_perform(transfer.curl);
    if (code != CURLE_OK && is_stopped(stop))
        (void)error_set(err, ERROR_RETRY, "stopped while sending the e-mail");
    else
        ok = code == CURLE_OK || report(transfer.curl, code, words, err);
out:
    curl_slist_free_all(recipients);
    curl_easy_cleanup(transfer.curl);
    curl_global_cleanup();
    buffer_clear(&message);
    return ok;
}

bool mail_send_once(const struct settings *settings, const struct mail *mail, struct error *err)
{
    return mail_send_stoppable(settings, mail, NULL, err);
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
