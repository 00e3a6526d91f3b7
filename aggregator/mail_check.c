/* The mail settings, looked at before the work starts: a typing error shall not show after ten hours. */
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aggregator/curl_library.h"
#include "aggregator/mail.h"
#include "common/log.h"

#define ADDRESS_MAX 254 /* RFC 5321 Section 4.5.3.1.3, less the angle brackets */
#define LOCAL_MAX 64    /* RFC 5321 Section 4.5.3.1.1 */
#define LABEL_MAX 63    /* RFC 1035 Section 2.3.4 */

static bool is_given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Atoms with single dots between (Dot-string). Quoted local parts are left out: nobody has one, and they may
 * hold anything. */
static bool is_local_part(const char *text, size_t length)
{
    if (length == 0 || length > LOCAL_MAX || text[0] == '.' || text[length - 1] == '.')
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '.' ? text[i - 1] == '.'
                           : !is_alphanumeric(text[i]) && strchr("!#$%&'*+-/=?^_`{|}~", text[i]) == NULL)
            return false;
    }
    return true;
}

static bool is_domain(const char *text, size_t length)
{
    size_t label = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '.') {
            if (label == 0 || text[i - 1] == '-')
                return false;
            label = 0;
            continue;
        }
        if ((!is_alphanumeric(text[i]) && (text[i] != '-' || label == 0)) || ++label > LABEL_MAX)
            return false;
    }
    return label > 0 && text[length - 1] != '-';
}

bool mail_check_address(const char *setting, const char *address, struct error *err)
{
    /* The allowed characters are listed, not the forbidden ones; so CR, LF, blanks, commas, brackets and
     * bytes beyond ASCII all fall out. The address is not quoted in the text: it may hold just those. */
    const char *at = strchr(address, '@');
    size_t length = strlen(address);
    if (length > ADDRESS_MAX)
        return error_set(err, ERROR_FATAL, "%s: an address has at most %d characters", setting, ADDRESS_MAX);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)address[i] <= ' ' || (unsigned char)address[i] >= 0x7f || address[i] == ',' ||
            address[i] == ';')
            return error_set(err, ERROR_FATAL,
                             "%s: one plain address is allowed, without blanks, commas or control characters",
                             setting);
    if (at == NULL || !is_local_part(address, (size_t)(at - address)) || !is_domain(at + 1, strlen(at + 1)))
        return error_set(err, ERROR_FATAL, "%s: not an e-mail address of the form name@domain", setting);
    return true;
}

static bool has_part(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    bool has = curl_url_get(url, part, &text, 0) == CURLUE_OK && is_given(text);
    curl_free(text);
    return has;
}

/* The path of an smtp:// URL is the name that libcurl says after EHLO. */
static bool is_greeting_name(CURLU *url)
{
    char *path = NULL;
    bool ok = curl_url_get(url, CURLUPART_PATH, &path, 0) == CURLUE_OK && path[0] == '/' &&
              (path[1] == '\0' || is_domain(path + 1, strlen(path + 1)));
    curl_free(path);
    return ok;
}

static bool check_url(const char *text, struct error *err)
{
    CURLU *url = NULL;
    bool ok = false;
    if (strncasecmp(text, "smtp://", 7) != 0 && strncasecmp(text, "smtps://", 8) != 0)
        return error_set(err, ERROR_FATAL, "SmtpUrl: must begin with smtp:// or smtps://");
    for (const char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f)
            return error_set(err, ERROR_FATAL, "SmtpUrl: blanks and control characters are not allowed");
    if (!curl_library_load(err))
        return false;
    url = curl_url();
    if (url == NULL || curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK ||
        !has_part(url, CURLUPART_HOST)) {
        (void)error_set(err, ERROR_FATAL, "SmtpUrl: not a URL of the form smtp://host:port");
        goto out;
    }
    if (has_part(url, CURLUPART_USER) || has_part(url, CURLUPART_PASSWORD)) {
        (void)error_set(err, ERROR_FATAL,
                        "SmtpUrl: user and password do not belong there; use SmtpUser and SmtpPasswordFile");
        goto out;
    }
    if (has_part(url, CURLUPART_QUERY) || has_part(url, CURLUPART_FRAGMENT) || !is_greeting_name(url)) {
        (void)error_set(err, ERROR_FATAL, "SmtpUrl: not a URL of the form smtp://host:port");
        goto out;
    }
    ok = true;
out:
    curl_url_cleanup(url);
    return ok;
}

bool mail_read_password(const struct settings *settings, char password[MAIL_PASSWORD_MAX], struct error *err)
{
    struct stat status;
    bool ok = false;
    size_t length = 0;
    int descriptor = open(settings->smtp_password_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0)
        return error_errno(err, ERROR_FATAL, "SmtpPasswordFile: cannot open the file");
    if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
        (void)error_set(err, ERROR_FATAL, "SmtpPasswordFile: not a regular file");
        goto out;
    }
    while (length < MAIL_PASSWORD_MAX - 1) {
        ssize_t n = read(descriptor, password + length, MAIL_PASSWORD_MAX - 1 - length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            (void)error_errno(err, ERROR_FATAL, "SmtpPasswordFile: cannot read the file");
            goto out;
        }
        if (n == 0)
            break;
        length += (size_t)n;
    }
    password[length] = '\0';
    size_t line = strcspn(password, "\r\n");
    if (line == 0 || line == MAIL_PASSWORD_MAX - 1) {
        (void)error_set(err, ERROR_FATAL, "SmtpPasswordFile: the first line must hold the password");
        goto out;
    }
    explicit_bzero(password + line, MAIL_PASSWORD_MAX - line);
    if ((status.st_mode & S_IROTH) != 0)
        log_event(LOG_LEVEL_WARN, "aggregator", "password_file_open", "mode=%03o reason=%s",
                  (unsigned)status.st_mode & 0777u,
                  log_text("all users of this machine may read SmtpPasswordFile"));
    ok = true;
out:
    if (!ok)
        explicit_bzero(password, MAIL_PASSWORD_MAX);
    (void)close(descriptor);
    return ok;
}

bool mail_check_settings(const struct settings *settings, struct error *err)
{
    if ((is_given(settings->your_email) && !mail_check_address("YourEmail", settings->your_email, err)) ||
        (is_given(settings->mail_from) && !mail_check_address("MailFrom", settings->mail_from, err)) ||
        (is_given(settings->smtp_url) && !check_url(settings->smtp_url, err)))
        return false;
    if (is_given(settings->smtp_user) != is_given(settings->smtp_password_file))
        return error_set(err, ERROR_FATAL, "SmtpUser and SmtpPasswordFile: give both, or none");
    if (is_given(settings->smtp_password_file)) {
        char password[MAIL_PASSWORD_MAX];
        if (!mail_read_password(settings, password, err))
            return false;
        explicit_bzero(password, sizeof password);
    }
    if (is_given(settings->smtp_ca_file) && access(settings->smtp_ca_file, R_OK) != 0)
        return error_errno(err, ERROR_FATAL, "SmtpCaFile: cannot read the file");
    return true;
}

bool mail_is_wanted(const struct settings *settings)
{
    return settings->send_email && is_given(settings->your_email) && is_given(settings->smtp_url);
}
