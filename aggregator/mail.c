#include "aggregator/mail.h"

#include <assert.h>
#include <string.h>
#include <time.h>

#include "aggregator/mail_internal.h"
#include "common/shown.h"

#define BODY_LINE_MAX 76 /* RFC 2045 Section 6.7 */

const char *mail_sender(const struct settings *settings, const struct mail *mail)
{
    return settings->mail_from != NULL && settings->mail_from[0] != '\0' ? settings->mail_from : mail->to;
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

/* The same over all tries, so that a mail that was taken twice can be told; another one for each round. */
static void append_message_id(struct buffer *out, const struct settings *settings, const struct mail *mail)
{
    const char *domain = strchr(mail_sender(settings, mail), '@');
    assert(domain != NULL);
    buffer_append_text(out, "Message-ID: <");
    for (const char *c = mail->job; *c != '\0'; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');
        buffer_append_char(out, plain ? *c : '-');
    }
    buffer_append_format(out, ".completed.v%llu%s>\r\n", (unsigned long long)mail->round + 1, domain);
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

static void append_body(struct buffer *out, const struct mail *mail)
{
    const struct store_counts *counts = &mail->counts;
    const char *output = mail->output_directory == NULL ? "" : mail->output_directory;
    struct buffer body = {0};
    buffer_append_text(&body, mail->is_cancelled
                                  ? "The extraction of PNG pictures and metadata was cancelled.\n"
                                    "What was done until then is kept.\n\nFiles done: "
                                  : "The extraction of PNG pictures and metadata is complete.\n\n"
                                    "Files found: ");
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
    shown_append(&body, output, strlen(output));
    buffer_append_text(&body, "\n");
    append_quoted_printable(out, body.data, body.length);
    buffer_clear(&body);
}

void mail_compose(struct buffer *out, const struct settings *settings, const struct mail *mail)
{
    /* Every header is ASCII: the addresses were checked, the rest is ours. */
    buffer_append_format(out, "From: <%s>\r\nTo: <%s>\r\n", mail_sender(settings, mail), mail->to);
    buffer_append_format(out, "Subject: niffler-png: %s%llu converted, %llu failed, %llu without image\r\n",
                         mail->is_cancelled ? "cancelled, " : "", (unsigned long long)mail->counts.converted,
                         (unsigned long long)mail->counts.failed, (unsigned long long)mail->counts.no_image);
    append_date(out, mail->time_s);
    append_message_id(out, settings, mail);
    buffer_append_text(out, "Auto-Submitted: auto-generated\r\n"
                            "MIME-Version: 1.0\r\n"
                            "Content-Type: text/plain; charset=utf-8\r\n"
                            "Content-Transfer-Encoding: quoted-printable\r\n"
                            "\r\n");
    append_body(out, mail);
}
