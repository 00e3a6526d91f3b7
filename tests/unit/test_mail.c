/* The e-mail: which addresses and settings are let through, and what the message says. Sending: tests/e2e. */
#include "tests/unit/store_fixture.h"

#include <limits.h>

#include "aggregator/mail.h"

static void plain_addresses_are_accepted(void **state)
{
    (void)state;
    const char *good[] = {
        "a@b",           "first.last@example.org",          "radiology+png@hospital.example",
        "x_y-z@a-b.c-d", "!#$%&'*+-/=?^_`{|}~@example.org", "1@2.3",
        "root@localhost"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct error err;
        if (!mail_check_address("YourEmail", good[i], &err))
            fail_msg("%s: %s", good[i], err.text);
    }
}

static void bad_addresses_are_refused(void **state)
{
    (void)state;
    const char *bad[] = {"",
                         "a",
                         "@",
                         "a@",
                         "@b",
                         "a@b@c",
                         "a@b\r\nRCPT TO:<evil@x.y>",
                         "a@b\n",
                         "a@b\rc",
                         "a\t@b",
                         "a b@c",
                         " a@b",
                         "a@b ",
                         "a@b,c@d",
                         "a@b;c@d",
                         "<a@b>",
                         "A <a@b>",
                         "a@b>",
                         "\"a b\"@c",
                         "\"a\"@c",
                         "a@[127.0.0.1]",
                         ".a@b",
                         "a.@b",
                         "a..b@c",
                         "a@.b",
                         "a@b.",
                         "a@b..c",
                         "a@-b",
                         "a@b-",
                         "a@b-.c",
                         "a@b_c",
                         "a@b%0d%0a",
                         "a\x7f@b",
                         "a\x01@b",
                         "\xc3\xa4@b",
                         "a@\xc3\xa4.org",
                         "a\\@b",
                         "a:b@c",
                         "a(comment)@b",
                         "a@b(comment)",
                         "mailto:a@b",
                         "0123456789012345678901234567890123456789012345678901234567890123x@b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct error err = {0};
        if (mail_check_address("YourEmail", bad[i], &err))
            fail_msg("accepted: %s", bad[i]);
        assert_int_equal(err.kind, ERROR_FATAL);
        assert_ptr_equal(strstr(err.text, "YourEmail"), err.text);
        assert_null(strpbrk(err.text, "\r\n")); /* nothing of the address reaches a log */
    }
}

static void addresses_have_at_most_254_characters(void **state)
{
    (void)state;
    char address[300];
    struct error err;
    size_t length = (size_t)snprintf(address, sizeof address, "a@");
    while (length < 250)
        length += (size_t)snprintf(address + length, sizeof address - length, "123456789.");
    (void)snprintf(address + length, sizeof address - length, "%.*s", (int)(254 - length), "12345678");
    assert_int_equal(strlen(address), 254);
    assert_ok(mail_check_address("MailFrom", address, &err), err);
    (void)snprintf(address + 254, sizeof address - 254, "x");
    assert_false(mail_check_address("MailFrom", address, &err));
    char *label = "a@0123456789012345678901234567890123456789012345678901234567890123";
    assert_false(mail_check_address("MailFrom", label, &err)); /* a label of 64 */
}

/* ---- settings ---- */

static struct settings good_settings(void)
{
    return (struct settings){.send_email = true,
                             .your_email = "to@example.org",
                             .mail_from = "from@example.com",
                             .smtp_url = "smtp://mail.example.org:587"};
}

static void urls_are_checked(void **state)
{
    (void)state;
    const struct {
        const char *url;
        bool good;
    } cases[] = {{"smtp://host", true},
                 {"smtps://host:465", true},
                 {"SMTP://host:25/", true},
                 {"smtp://127.0.0.1:2525/client.example.org", true},
                 {"smtp://[::1]:25", true},
                 {"", true}, /* not given */
                 {"host:25", false},
                 {"http://host", false},
                 {"file:///etc/passwd", false},
                 {"smtp://", false},
                 {"smtp://host:notaport", false},
                 {"smtp://user:secret@host", false},
                 {"smtp://user@host", false},
                 {"smtp://host/a b", false},
                 {"smtp://host/a%0d%0aMAIL", false},
                 {"smtp://host\r\n", false},
                 {"smtp://host?x", false},
                 {"smtp://host#x", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct settings settings = good_settings();
        struct error err;
        char url[64];
        (void)snprintf(url, sizeof url, "%s", cases[i].url);
        settings.smtp_url = url;
        if (mail_check_settings(&settings, &err) != cases[i].good)
            fail_msg("%s", cases[i].url);
        if (!cases[i].good)
            assert_null(strstr(err.text, "secret"));
    }
}

static void a_mail_is_wanted_when_all_is_given(void **state)
{
    (void)state;
    struct settings settings = good_settings();
    struct error err;
    assert_true(mail_is_wanted(&settings));
    settings.send_email = false;
    assert_false(mail_is_wanted(&settings));
    settings = good_settings();
    settings.smtp_url = NULL;
    assert_false(mail_is_wanted(&settings));
    settings = good_settings();
    settings.your_email = NULL;
    assert_false(mail_is_wanted(&settings));
    settings.mail_from = settings.smtp_url = NULL;
    assert_ok(mail_check_settings(&settings, &err), err); /* nothing given: nothing wrong */
    assert_false(mail_send_once(&settings, &(struct mail){.job = "j", .to = "a@b"}, &err));
    assert_int_equal(err.kind, ERROR_FATAL);
    settings = good_settings();
    assert_false(mail_send_once(&settings, &(struct mail){.job = "j"}, &err));
    assert_int_equal(err.kind, ERROR_FATAL);
}

/* The recipient comes from a message, so from anybody who may write to the topic. The server's port is
 * closed: an address that got through would fail with ERROR_RETRY. */
static void bad_recipients_never_get_to_the_network(void **state)
{
    (void)state;
    const char *bad[] = {"",           "a@b\r\nRCPT TO:<evil@x.y>",
                         "a@b\nDATA",  "a@b\r",
                         "a@b>",       "<a@b>",
                         "a@b,c@d",    "a b@c",
                         "a@b SIZE=1", "Somebody <a@b>",
                         "no-domain",  "\xc3\xa4@b"};
    struct settings settings = good_settings();
    struct error err;
    settings.smtp_url = "smtp://127.0.0.1:1";
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct mail mail = {.job = "j", .to = bad[i], .timeout_seconds = 2};
        assert_false(mail_send_once(&settings, &mail, &err));
        if (err.kind != ERROR_FATAL)
            fail_msg("let through: %s", bad[i]);
        assert_null(strpbrk(err.text, "\r\n"));
        /* Not by way of the sender either, which falls back on the recipient. */
        settings.mail_from = NULL;
        assert_false(mail_send_once(&settings, &mail, &err));
        assert_int_equal(err.kind, ERROR_FATAL);
        settings = good_settings();
        settings.smtp_url = "smtp://127.0.0.1:1";
    }
    struct mail good = {.job = "j", .to = "a@b", .timeout_seconds = 2};
    assert_false(mail_send_once(&settings, &good, &err));
    assert_int_equal(err.kind, ERROR_RETRY);
}

static void a_stop_that_was_set_before_sends_nothing(void **state)
{
    (void)state;
    struct settings settings = good_settings();
    struct mail mail = {.job = "j", .to = "a@b", .timeout_seconds = 20};
    struct mail_stop *stop;
    struct error err;
    settings.smtp_url = "smtp://127.0.0.1:1";
    assert_ok(mail_stop_open(&stop, &err), err);
    assert_false(mail_send_stoppable(&settings, &mail, stop, &err));
    assert_null(strstr(err.text, "stopped"));
    mail_stop_now(stop);
    assert_false(mail_send_stoppable(&settings, &mail, stop, &err));
    assert_int_equal(err.kind, ERROR_RETRY);
    assert_non_null(strstr(err.text, "stopped"));
    mail_stop_close(stop);
    mail_stop_now(NULL);
    mail_stop_close(NULL);
}

static void passwords_come_from_a_file(void **state)
{
    struct fixture *fx = *state;
    const struct {
        const char *content, *password;
    } cases[] = {{"secret", "secret"}, {"secret\n", "secret"}, {"se cret\r\nsecond line", "se cret"},
                 {"", NULL},           {"\n", NULL},           {"\nsecret", NULL}};
    char path[128], password[MAIL_PASSWORD_MAX];
    struct settings settings = good_settings();
    struct error err;
    (void)snprintf(path, sizeof path, "%s/password", fx->folder);
    settings.smtp_user = "me";
    settings.smtp_password_file = path;
    assert_false(mail_check_settings(&settings, &err)); /* no such file */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file(fx, "password", cases[i].content);
        bool ok = mail_read_password(&settings, password, &err);
        assert_int_equal(ok, cases[i].password != NULL);
        assert_int_equal(mail_check_settings(&settings, &err), ok);
        assert_string_equal(password, ok ? cases[i].password : "");
    }
    settings.smtp_password_file = fx->folder;
    assert_false(mail_check_settings(&settings, &err));
    settings.smtp_password_file = NULL;
    assert_false(mail_check_settings(&settings, &err));
    assert_non_null(strstr(err.text, "SmtpPasswordFile"));
}

/* ---- the message ---- */

static struct mail some_mail(void)
{
    return (struct mail){.job = "20261123\r\nEvil: 1",
                         .to = "to@example.org",
                         .output_directory = "/data/out",
                         .counts = {.found = 375,
                                    .converted = 365,
                                    .no_image = 1,
                                    .ignored = 2,
                                    .failed = 7,
                                    .failed_by_category = {0, 4, 0, 3, 0, 0},
                                    .pictures = 400},
                         .time_s = 1795430645};
}

static void the_message_says_what_was_done(void **state)
{
    (void)state;
    struct settings settings = good_settings();
    struct mail mail = some_mail();
    struct buffer out = {0};
    mail_compose(&out, &settings, &mail);
    assert_string_equal(buffer_text(&out),
                        "From: <from@example.com>\r\n"
                        "To: <to@example.org>\r\n"
                        "Subject: niffler-png: 365 converted, 7 failed, 1 without image\r\n"
                        "Date: Mon, 23 Nov 2026 10:44:05 +0000\r\n"
                        "Message-ID: <20261123--Evil--1.completed.v1@example.com>\r\n"
                        "Auto-Submitted: auto-generated\r\n"
                        "MIME-Version: 1.0\r\n"
                        "Content-Type: text/plain; charset=utf-8\r\n"
                        "Content-Transfer-Encoding: quoted-printable\r\n"
                        "\r\n"
                        "The extraction of PNG pictures and metadata is complete.\r\n"
                        "\r\n"
                        "Files found: 375\r\n"
                        "  converted: 365 (pictures: 400)\r\n"
                        "  without image: 1\r\n"
                        "  ignored, not DICOM: 2\r\n"
                        "  failed: 7\r\n"
                        "    failed-dicom/1: 4\r\n"
                        "    failed-dicom/3: 3\r\n"
                        "\r\n"
                        "The tables metadata.csv, mapping.csv and failures.csv lie in\r\n"
                        "/data/out\r\n");
    buffer_clear(&out);
    /* The same again has the same Message-ID; without MailFrom the sender is the recipient. */
    settings.mail_from = NULL;
    mail_compose(&out, &settings, &mail);
    assert_non_null(strstr(buffer_text(&out), "From: <to@example.org>\r\n"));
    assert_non_null(
        strstr(buffer_text(&out), "Message-ID: <20261123--Evil--1.completed.v1@example.org>\r\n"));
    buffer_clear(&out);
}

/* Each job has its recipient, whatever the settings' own is; each round its Message-ID. */
static void job_and_round_tell_mails_apart(void **state)
{
    (void)state;
    struct settings settings = good_settings();
    struct mail mail = some_mail();
    struct buffer out = {0};
    mail.job = "j7";
    mail.to = "somebody.else@example.net";
    mail.round = 2;
    mail_compose(&out, &settings, &mail);
    assert_non_null(strstr(buffer_text(&out), "To: <somebody.else@example.net>\r\n"));
    assert_null(strstr(buffer_text(&out), "to@example.org"));
    assert_non_null(strstr(buffer_text(&out), "Message-ID: <j7.completed.v3@example.com>\r\n"));
    char *first = xstrdup(buffer_text(&out));
    buffer_truncate(&out, 0);
    mail_compose(&out, &settings, &mail); /* another try */
    assert_string_equal(buffer_text(&out), first);
    free(first);
    buffer_truncate(&out, 0);
    mail.round = UINT_MAX;
    settings.mail_from = NULL;
    mail_compose(&out, &settings, &mail);
    assert_non_null(strstr(buffer_text(&out), "From: <somebody.else@example.net>\r\n"));
    assert_non_null(strstr(buffer_text(&out), "Message-ID: <j7.completed.v4294967296@example.net>\r\n"));
    buffer_clear(&out);
}

static void a_cancelled_job_says_so(void **state)
{
    (void)state;
    struct settings settings = good_settings();
    struct mail mail = some_mail();
    struct buffer out = {0};
    mail.is_cancelled = true;
    mail_compose(&out, &settings, &mail);
    assert_non_null(strstr(buffer_text(&out),
                           "Subject: niffler-png: cancelled, 365 converted, 7 failed, 1 without image\r\n"));
    assert_non_null(strstr(buffer_text(&out), "was cancelled.\r\n"));
    assert_null(strstr(buffer_text(&out), "is complete"));
    buffer_clear(&out);
}

static void no_folder_can_break_the_message(void **state)
{
    (void)state;
    struct settings settings = good_settings();
    struct mail mail = some_mail();
    struct buffer out = {0};
    char folder[4000];
    memset(folder, 'x', sizeof folder);
    memcpy(folder, "/\r\n.\r\nM\xc3\xbcller=\xff \t/", 18);
    folder[sizeof folder - 1] = '\0';
    folder[sizeof folder - 2] = ' ';
    mail.output_directory = folder;
    mail_compose(&out, &settings, &mail);
    const char *text = buffer_text(&out);
    assert_non_null(strstr(text, "\r\n/\\x0D\\x0A.\\x0D\\x0AM=C3=BCller=3D\\xFF \\x09/xxx"));
    size_t line = 0;
    for (const char *c = text; *c != '\0'; c++) {
        assert_true((unsigned char)*c < 0x7f);
        if (*c == '\n') {
            assert_true(c > text && c[-1] == '\r');
            assert_true(line <= 77);
            assert_true(c - text < 2 || c[-2] != ' '); /* a blank at the end might get lost */
            line = 0;
            continue;
        }
        line++;
    }
    assert_int_equal(line, 0);
    buffer_clear(&out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_addresses_are_accepted),
        cmocka_unit_test(bad_addresses_are_refused),
        cmocka_unit_test(addresses_have_at_most_254_characters),
        cmocka_unit_test(urls_are_checked),
        cmocka_unit_test(a_mail_is_wanted_when_all_is_given),
        cmocka_unit_test(bad_recipients_never_get_to_the_network),
        cmocka_unit_test(a_stop_that_was_set_before_sends_nothing),
        TEST(passwords_come_from_a_file),
        cmocka_unit_test(the_message_says_what_was_done),
        cmocka_unit_test(job_and_round_tell_mails_apart),
        cmocka_unit_test(a_cancelled_job_says_so),
        cmocka_unit_test(no_folder_can_break_the_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
