/* Jobs over the lives of an aggregator: what was acknowledged is known to the next one. */
#include "tests/unit/store_fixture.h"

#include "aggregator/jobs.h"

#define ID "01JDQ3V5ZK8Y2M4N6P7R9S0TAB"

static struct notice notice_of(enum notice_type type)
{
    struct notice notice = {.type = type, .job = {.input = "in", .output = "out"}};
    (void)snprintf(notice.job.id, sizeof notice.job.id, "%s", ID);
    notice.job.dicom_home = "/in";
    notice.job.output_directory = "/out";
    return notice;
}

static struct jobs *open_jobs(struct fixture *fx)
{
    char *folder = xasprintf("%s/state", fx->folder);
    struct jobs *jobs;
    struct error err;
    assert_ok(jobs_open(&jobs, folder, true, &err), err);
    free(folder);
    return jobs;
}

static struct open_job *begin(struct jobs *jobs)
{
    struct notice notice = notice_of(NOTICE_OPEN);
    struct buffer json = {0};
    struct error err;
    notice_to_json(&notice, &json);
    assert_ok(jobs_begin(jobs, &notice, json.data, json.length, &err), err);
    buffer_clear(&json);
    return jobs_find(jobs, ID);
}

static void commit(struct jobs *jobs)
{
    struct error err;
    assert_ok(jobs_commit(jobs, &err), err);
}

static void test_a_cancelled_job_stays_so_in_the_next_life(void **state)
{
    struct jobs *jobs = open_jobs(*state);
    struct open_job *job = begin(jobs);
    struct error err;
    assert_false(jobs_is_complete(job));
    assert_ok(jobs_cancel(job, &err), err);
    commit(jobs);
    jobs_close(jobs);

    jobs = open_jobs(*state);
    job = jobs_find(jobs, ID);
    assert_non_null(job);
    assert_true(job->is_cancelled);
    assert_true(jobs_is_complete(job));
    jobs_close(jobs);
}

static void test_a_seal_is_known_in_the_next_life(void **state)
{
    struct jobs *jobs = open_jobs(*state);
    struct error err;
    assert_ok(jobs_seal(begin(jobs), 7, &err), err);
    commit(jobs);
    jobs_close(jobs);

    jobs = open_jobs(*state);
    assert_int_equal(jobs_find(jobs, ID)->total, 7);
    assert_false(jobs_is_complete(jobs_find(jobs, ID)));
    jobs_close(jobs);
}

/* Begin a job of no files, and end it. */
static void begin_and_end(struct jobs *jobs)
{
    struct open_job *job = begin(jobs);
    struct error err;
    assert_ok(jobs_seal(job, 0, &err), err);
    assert_true(jobs_is_complete(job));
    assert_ok(store_set(job->store, "state", "complete", &err), err);
    commit(jobs);
    assert_ok(jobs_end(jobs, job, &err), err);
    assert_true(jobs_is_closed(jobs, ID));
}

static struct notice request_again(void)
{
    struct notice again = notice_of(NOTICE_REQUEUE);
    (void)snprintf(again.request, sizeof again.request, "%s", "01JDQ3V5ZK8Y2M4N6P7R9S0TAZ");
    return again;
}

/* End a job of no files, and open it again: `reopen` is begun `times` times, with its last step undone in
 * between, as where that step failed. */
static void end_and_reopen(struct fixture *fx, int times)
{
    struct notice again = request_again();
    struct jobs *jobs = open_jobs(fx);
    struct open_job *job;
    struct error err;
    begin_and_end(jobs);
    assert_ok(files_make_folders(fx->dir, "out", &err), err);
    for (int i = 0; i < times; i++) {
        if (i > 0)
            assert_int_equal(renameat(fx->dir, "state/jobs/" ID, fx->dir, "state/closed/" ID), 0);
        assert_ok(jobs_reopen(jobs, &again, fx->dir, &job, &err), err);
        assert_non_null(job);
        assert_int_equal(job->round, 1);
    }
    jobs_close(jobs);
}

static void test_a_reopened_job_is_open_in_the_next_life(void **state)
{
    struct fixture *fx = *state;
    end_and_reopen(fx, 1);
    struct jobs *jobs = open_jobs(fx);
    assert_non_null(jobs_find(jobs, ID));
    assert_int_equal(jobs_find(jobs, ID)->round, 1);
    jobs_close(jobs);
}

static void test_a_request_that_comes_again_moves_the_file_that_was_not_moved(void **state)
{
    struct fixture *fx = *state;
    end_and_reopen(fx, 2);
    assert_true(file_exists(fx, "state/jobs/" ID));
    assert_false(file_exists(fx, "state/closed/" ID));
}

/* Else the aggregator would end, and again each time that it comes to this request. */
static void test_a_job_is_not_opened_again_while_another_has_its_folder(void **state)
{
    struct fixture *fx = *state;
    struct notice again = request_again(), next = notice_of(NOTICE_OPEN);
    struct jobs *jobs = open_jobs(fx);
    struct open_job *job;
    struct buffer json = {0};
    struct error err;
    begin_and_end(jobs);
    (void)snprintf(next.job.id, sizeof next.job.id, "%s", "01JDQ3V5ZK8Y2M4N6P7R9S0TAC");
    notice_to_json(&next, &json);
    assert_ok(jobs_begin(jobs, &next, json.data, json.length, &err), err);
    assert_false(jobs_reopen(jobs, &again, fx->dir, &job, &err));
    assert_int_equal(err.kind, ERROR_INPUT); /* a dead letter */
    assert_null(job);
    assert_non_null(jobs_find(jobs, next.job.id));
    buffer_clear(&json);
    jobs_close(jobs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_cancelled_job_stays_so_in_the_next_life, fixture_set_up,
                                        fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_a_seal_is_known_in_the_next_life, fixture_set_up,
                                        fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_a_reopened_job_is_open_in_the_next_life, fixture_set_up,
                                        fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_a_job_is_not_opened_again_while_another_has_its_folder,
                                        fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_a_request_that_comes_again_moves_the_file_that_was_not_moved,
                                        fixture_set_up, fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
