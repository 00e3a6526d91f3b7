/* sandbox: each limit ends what it is to end, also where seccomp would not let it come so far; in processes
 * of their own, since there is no way back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "worker/decoder/sandbox_parts.h"

#define REACHED 40 /* exit status: all went as it should */

/* Run `body` in a child; returns its wait status. */
static int in_child(void (*body)(void))
{
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        body();
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void enter(uint32_t cpu_seconds)
{
    const struct sandbox_limits limits = {64u << 20, cpu_seconds, 1000};
    struct confinement confinement;
    struct error err;
    if (!sandbox_enter(&limits, getppid(), 5, &confinement, &err) || !confinement_check(&confinement, &err))
        _exit(2);
}

/* Without seccomp and Landlock, to look at the rest. */
static void enter_limits(void)
{
    const struct sandbox_limits limits = {64u << 20, 100, 1000};
    struct confinement confinement = {0};
    struct error err;
    if (!sandbox_give_up_privileges(getppid(), 5, &confinement, &err) ||
        !sandbox_set_limits(&limits, &confinement, &err))
        _exit(2);
}

static void burn(void)
{
    enter(1);
    for (volatile unsigned i = 0;; i++)
        continue;
}

static void cpu_time_ends_the_process(void **state)
{
    (void)state;
    int status = in_child(burn);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGXCPU);
}

static void call_what_is_not_allowed(void)
{
    enter(100);
    (void)getuid();
    _exit(REACHED);
}

static void another_call_ends_the_process(void **state)
{
    (void)state;
    int status = in_child(call_what_is_not_allowed);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void end_by_abort(void)
{
    enter(100);
    abort();
}

static void abort_is_a_crash_of_its_own(void **state)
{
    (void)state;
    int status = in_child(end_by_abort);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* What the C library does in another way the first time. */
static void use_the_library(void)
{
    enum { MANY = 100000 };
    enter(100);
    char text[512];
    time_t now = 0;
    struct tm parts;
    int *numbers = calloc(MANY, sizeof *numbers);
    if (numbers == NULL || gmtime_r(&now, &parts) == NULL || localtime_r(&now, &parts) == NULL)
        _exit(3);
    qsort(numbers, MANY, sizeof *numbers, compare);
    (void)snprintf(text, sizeof text, "%s %.40f %ls", strerror(ENOSPC), 1e300 / 3, L"wide");
    (void)printf("%s\n", text);
    (void)fprintf(stderr, "%s", "");
    free(numbers);
    _exit(REACHED);
}

static void the_c_library_can_still_be_used(void **state)
{
    (void)state;
    int status = in_child(use_the_library);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), REACHED);
}

#ifndef __SANITIZE_ADDRESS__
static void run_out_of_memory(void)
{
    enter(100);
    size_t blocks = 0;
    /* Small ones, so that the C library tries all that it knows before it gives up. */
    while (malloc(1000) != NULL)
        blocks++;
    _exit(errno == ENOMEM && blocks > 1000 && blocks < 100000 ? REACHED : 1);
}
#endif

static void memory_that_runs_out_is_told_not_deadly(void **state)
{
    (void)state;
#ifndef __SANITIZE_ADDRESS__ /* which has no limit, and an allocator of its own */
    int status = in_child(run_out_of_memory);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), REACHED);
#endif
}

static bool is_limited(int resource, rlim_t soft)
{
    struct rlimit now;
    return getrlimit(resource, &now) == 0 && now.rlim_cur == soft;
}

static void look_at_limits(void)
{
    char score[16] = "";
    (void)signal(SIGXFSZ, SIG_IGN);
    FILE *file = tmpfile();
    int high = file != NULL ? fcntl(fileno(file), F_DUPFD, 50) : -1;
    if (high < 0)
        _exit(3);
    enter_limits();
    file = fopen("/proc/self/oom_score_adj", "re");
    bool ok = file != NULL && fgets(score, sizeof score, file) != NULL && strtol(score, NULL, 10) >= 800;
    ok = ok && fcntl(high, F_GETFD) < 0 && errno == EBADF;
    ok = ok && is_limited(RLIMIT_CORE, 0) && is_limited(RLIMIT_NPROC, 0) && is_limited(RLIMIT_NOFILE, 41) &&
         is_limited(RLIMIT_FSIZE, 1000) && is_limited(RLIMIT_MEMLOCK, 0) && is_limited(RLIMIT_MSGQUEUE, 0);
    ok = ok && prctl(PR_GET_DUMPABLE) == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 &&
         getpgrp() == getpid();
    _exit(ok ? REACHED : 1);
}

static void limits_and_privileges_are_as_they_say(void **state)
{
    (void)state;
    int status = in_child(look_at_limits);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), REACHED);
}

static void start_for_a_worker_that_is_gone(void)
{
    const struct sandbox_limits limits = {64u << 20, 100, 1000};
    struct confinement confinement;
    struct error err;
    bool ok = sandbox_enter(&limits, getppid() + 1, 5, &confinement, &err);
    _exit(!ok && err.kind == ERROR_FATAL ? REACHED : 1);
}

static void a_worker_that_is_gone_is_found(void **state)
{
    (void)state;
    int status = in_child(start_for_a_worker_that_is_gone);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), REACHED);
}

/* A worker whose decoder would go on for ever. */
static void be_a_worker(void)
{
    int ends[2];
    char byte;
    if (pipe(ends) != 0)
        _exit(3);
    pid_t decoder = fork();
    if (decoder == 0) {
        (void)dup2(ends[1], 4);
        enter(100);
        if (write(4, "x", 1) != 1)
            _exit(4);
        for (volatile unsigned i = 0;; i++)
            continue;
    }
    (void)close(ends[1]);
    if (read(ends[0], &byte, 1) != 1)
        _exit(4);
    /* To the test. */
    _exit(write(50, &decoder, sizeof decoder) == (ssize_t)sizeof decoder ? REACHED : 4);
}

static void a_decoder_ends_with_its_worker(void **state)
{
    (void)state;
    int ends[2];
    pid_t decoder = 0;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(dup2(ends[1], 50), 50);
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0); /* so that its end can be waited for */
    int status = in_child(be_a_worker);
    assert_int_equal(WEXITSTATUS(status), REACHED);
    assert_int_equal(read(ends[0], &decoder, sizeof decoder), sizeof decoder);
    assert_int_equal(waitpid(decoder, &status, 0), decoder);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    (void)close(50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpu_time_ends_the_process),
        cmocka_unit_test(another_call_ends_the_process),
        cmocka_unit_test(abort_is_a_crash_of_its_own),
        cmocka_unit_test(the_c_library_can_still_be_used),
        cmocka_unit_test(memory_that_runs_out_is_told_not_deadly),
        cmocka_unit_test(limits_and_privileges_are_as_they_say),
        cmocka_unit_test(a_worker_that_is_gone_is_found),
        cmocka_unit_test(a_decoder_ends_with_its_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
