/* Files of mails that are not settled: another life of the aggregator, of an older or a newer version, reads
 * what one wrote. */
#include "tests/unit/store_fixture.h"

#include "aggregator/mail_files.h"

#define JOB "01HZZZZZZZZZZZZZZZZZZZZZZZ"
#define FILE_NAME MAIL_FILES "/" JOB "-2"

static void write_mail(int dir)
{
    const struct mail mail = {.job = JOB,
                              .to = "anna@example.org",
                              .output_directory = "/data/out \"1\"",
                              .counts = {.found = 9,
                                         .converted = 4,
                                         .no_image = 1,
                                         .ignored = 2,
                                         .failed = 2,
                                         .failed_by_category = {0, 1, 0, 0, 1, 0},
                                         .pictures = 40},
                              .time_s = 1790000000,
                              .round = 2,
                              .is_cancelled = true};
    struct error err;
    assert_ok(mail_file_write(dir, &mail, &err), err);
}

static void check_mail(void *context, const struct mail *mail)
{
    assert_string_equal(mail->job, JOB);
    assert_string_equal(mail->to, "anna@example.org");
    assert_string_equal(mail->output_directory, "/data/out \"1\"");
    assert_int_equal(mail->counts.found, 9);
    assert_int_equal(mail->counts.converted, 4);
    assert_int_equal(mail->counts.no_image, 1);
    assert_int_equal(mail->counts.ignored, 2);
    assert_int_equal(mail->counts.failed, 2);
    assert_int_equal(mail->counts.failed_by_category[1], 1);
    assert_int_equal(mail->counts.failed_by_category[4], 1);
    assert_int_equal(mail->counts.pictures, 40);
    assert_int_equal(mail->time_s, 1790000000);
    assert_int_equal(mail->round, 2);
    assert_true(mail->is_cancelled);
    ++*(unsigned *)context;
}

static unsigned count_mails(int dir)
{
    unsigned count = 0;
    struct error err;
    assert_ok(mail_files_each(dir, check_mail, &count, &err), err);
    return count;
}

/* Put `text` in place of the last `count` bytes of the file. */
static void replace_end(int dir, off_t count, const char *text)
{
    struct stat status;
    int file = openat(dir, FILE_NAME, O_WRONLY | O_CLOEXEC);
    assert_true(file >= 0);
    assert_int_equal(fstat(file, &status), 0);
    assert_int_equal(ftruncate(file, status.st_size - count), 0);
    assert_int_equal(pwrite(file, text, strlen(text), status.st_size - count), (ssize_t)strlen(text));
    assert_int_equal(close(file), 0);
}

static void a_mail_comes_back_as_written(void **state)
{
    const struct fixture *fx = *state;
    assert_int_equal(count_mails(fx->dir), 0);
    write_mail(fx->dir);
    assert_int_equal(count_mails(fx->dir), 1);
    mail_file_remove(fx->dir, JOB, 1);
    assert_int_equal(count_mails(fx->dir), 1);
    mail_file_remove(fx->dir, JOB, 2);
    assert_int_equal(count_mails(fx->dir), 0);
}

static void members_of_a_later_version_are_passed_over(void **state)
{
    const struct fixture *fx = *state;
    write_mail(fx->dir);
    replace_end(fx->dir, 2, ",\"later\":{\"a\":[1,{\"b\":\"]}\"}],\"c\":null}}\n");
    assert_int_equal(count_mails(fx->dir), 1);
}

/* It is told, and is no mail. */
static void a_cut_file_is_left_alone(void **state)
{
    const struct fixture *fx = *state;
    write_mail(fx->dir);
    replace_end(fx->dir, 2, "");
    assert_int_equal(count_mails(fx->dir), 0);
    replace_end(fx->dir, 0, "}\n");
    assert_int_equal(count_mails(fx->dir), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_mail_comes_back_as_written, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(members_of_a_later_version_are_passed_over, fixture_set_up,
                                        fixture_tear_down),
        cmocka_unit_test_setup_teardown(a_cut_file_is_left_alone, fixture_set_up, fixture_tear_down),
    };
    return cmocka_run_group_tests_name("mail_files", tests, NULL, NULL);
}
