/* libcurl's CONNECT_ONLY goes through all of SMTP's start, up to where MAIL FROM would come. */
#include "aggregator/mail_probe.h"

#include <curl/curl.h>
#include <strings.h>

#include "aggregator/mail_connection.h"

static const char *advice(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
        return "correct the host in SmtpUrl";
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
        return "see that host and port in SmtpUrl are right and can be reached from here";
    case CURLE_USE_SSL_FAILED:
        return "the server offers no STARTTLS: use one that does, or set SmtpStartTls to off";
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return "see SmtpCaFile, and that SmtpUrl has the name of the certificate";
    case CURLE_LOGIN_DENIED:
        return "see SmtpUser and SmtpPasswordFile";
    default:
        return "see that SmtpUrl names a mail server";
    }
}

bool mail_probe_is_plain(const struct settings *settings)
{
    return settings->smtp_start_tls == SMTP_START_TLS_OFF &&
           strncasecmp(settings->smtp_url, "smtps:", 6) != 0;
}

bool mail_probe(const struct settings *settings, unsigned timeout_seconds, struct error *err)
{
    char words[CURL_ERROR_SIZE] = "";
    bool ok = false;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return error_set(err, ERROR_RETRY, "cannot set up libcurl");
    CURL *curl = curl_easy_init();
    if (curl == NULL) {
        (void)error_set(err, ERROR_RETRY, "cannot set up libcurl");
        goto out;
    }
    CURLcode code = curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, words);
    if (code == CURLE_OK)
        code = mail_set_connection(curl, settings, timeout_seconds);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
    if (code == CURLE_OK && !mail_set_login(curl, settings, &code, err))
        goto out;
    if (code == CURLE_OK)
        code = curl_easy_perform(curl);
    ok = code == CURLE_OK || error_set(err, mail_is_lasting(code) ? ERROR_INPUT : ERROR_RETRY, "%.150s: %s",
                                       words[0] != '\0' ? words : curl_easy_strerror(code), advice(code));
out:
    curl_easy_cleanup(curl);
    curl_global_cleanup();
    return ok;
}
