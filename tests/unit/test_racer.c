/* A racer swaps a folder for a link to outside, and back, 100000 times, while we write and read below it:
 * nothing outside changes, and nothing outside is read. With openat2() and without it. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "aggregator/store.h"
#include "common/files.h"
#include "common/job.h"
#include "common/nolink.h"
#include "producer/journal.h"
#include "tests/unit/folder.h"
#include "tests/unit/openat2_denied.h"
#include "worker/draft.h"

#define SWAPS 100000

/* base/out/sub is swapped for base/decoy, a link to base/outside. */
struct place {
    char path[64];
    int base, out;
    pid_t racer;
    unsigned long inside; /* what came to its place */
};

static const char *const victims[] = {
    "victim",  "table.csv",  "copy",     "moved",        FILES_DRAFT_PREFIX "keep", "lock",
    "journal", "mark",       "state.db", "state.db-wal", "state.db-journal",        "own",
    "input",   "picture.png"};
#define VICTIM_COUNT (sizeof victims / sizeof *victims)

static void make_outside(const struct place *place)
{
    char path[64];
    make_folder(place->base, "outside");
    for (size_t i = 0; i < VICTIM_COUNT; i++) {
        (void)snprintf(path, sizeof path, "outside/%s", victims[i]);
        make_file(place->base, path, "outside");
    }
    make_folder(place->base, "outside/folder");
}

/* As make_outside() left it: no file more, none less, none changed. */
static void expect_outside_untouched(const struct place *place)
{
    char path[64], content[16];
    struct stat status;
    size_t count = 0;
    int outside = openat(place->base, "outside", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fdopendir(outside);
    assert_non_null(entries);
    for (const struct dirent *entry; (entry = readdir(entries)) != NULL;)
        count += entry->d_name[0] != '.' || strncmp(entry->d_name, FILES_DRAFT_PREFIX, 8) == 0;
    assert_int_equal(count, VICTIM_COUNT + 1);
    (void)closedir(entries);
    for (size_t i = 0; i < VICTIM_COUNT; i++) {
        (void)snprintf(path, sizeof path, "outside/%s", victims[i]);
        int file = openat(place->base, path, O_RDONLY | O_CLOEXEC);
        assert_true(file >= 0);
        assert_int_equal(read(file, content, sizeof content), 7);
        assert_memory_equal(content, "outside", 7);
        assert_int_equal(fstat(file, &status), 0);
        assert_int_equal(status.st_nlink, 1);
        assert_int_equal(status.st_mode & 0777, 0644);
        (void)close(file);
    }
}

static int make_place(void **state)
{
    static struct place place;
    place.inside = 0;
    place.base = folder_new(place.path);
    make_outside(&place);
    make_folder(place.base, "out");
    make_folder(place.base, "out/sub");
    make_link(place.base, "../outside", "decoy"); /* as seen from its place in out */
    place.out = openat(place.base, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = &place;
    return 0;
}

static int remove_place(void **state)
{
    const struct place *place = *state;
    (void)close(place->out);
    folder_remove(place->path, place->base);
    return 0;
}

/* Swap `a` and `b` in a process of its own; an even number of times, so that all is as before. A nap now and
 * then lets both states last for a whole call of ours. */
static void start_racer(struct place *place, const char *a, const char *b, int swaps)
{
    place->racer = fork();
    assert_true(place->racer >= 0);
    if (place->racer > 0)
        return;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < swaps; i++) {
        if (renameat2(place->base, a, place->base, b, RENAME_EXCHANGE) != 0)
            _exit(1);
        if (i % 16 == 0)
            (void)sched_yield();
    }
    _exit(0);
}

static bool is_racing(struct place *place)
{
    int status;
    if (place->racer == 0 || waitpid(place->racer, &status, WNOHANG) == 0)
        return place->racer != 0;
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    place->racer = 0;
    return false;
}

/* ---- what we do ---- */

static bool try_draft(const struct place *place)
{
    struct files_draft draft = {0};
    struct error err;
    if (!files_draft_begin(&draft, place->out, "sub/table.csv", false, &err))
        return false;
    (void)fputs("inside", draft.stream);
    return files_draft_finish(&draft, &err);
}

static bool try_copy(const struct place *place, int input)
{
    struct error err;
    return files_copy(input, place->out, "sub/copy", false, &err);
}

static bool try_picture(const struct place *place)
{
    struct draft draft = {.descriptor = -1};
    struct draft_output output = DRAFT_OUTPUT_INIT;
    output.dir = dup(place->out);
    struct error err;
    bool ok = draft_prepare(&draft, &output, "picture", &err) && write(draft.descriptor, "inside", 6) == 6 &&
              draft_publish(&draft, &output, "sub/picture.png", false, &err);
    draft_drop(&draft, &output);
    draft_output_close(&output);
    return ok;
}

static bool try_journal(const struct place *place)
{
    struct journal *journal = NULL;
    struct error err;
    bool ok = journal_create(&journal, place->out, "sub/journal", &err);
    journal_close(journal);
    return ok;
}

static bool try_lock(const struct place *place)
{
    struct error err;
    int descriptor;
    bool ok = files_lock(place->out, "sub/lock", &descriptor, &err);
    if (descriptor >= 0)
        (void)close(descriptor);
    return ok;
}

static bool try_store(const struct place *place)
{
    char path[96];
    struct store *store = NULL;
    struct error err;
    (void)snprintf(path, sizeof path, "%s/out/sub/state.db", place->path);
    bool ok =
        store_open(&store, path, &err) && store_set(store, "name", "value", &err) && store_sync(store, &err);
    return store_close(store, &err) && ok;
}

static bool try_names(const struct place *place)
{
    struct error err;
    int file = nolink_open_file(place->out, "sub/own", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    bool ok = file >= 0;
    if (file >= 0)
        (void)close(file);
    (void)nolink_unlink(place->out, "sub/victim", 0);
    (void)nolink_unlink(place->out, "sub/folder", AT_REMOVEDIR);
    ok |= nolink_rename(place->out, "sub/own", "sub/moved") == 0;
    (void)nolink_rename(place->out, "sub/moved", "stolen");
    (void)nolink_unlink(place->out, "stolen", 0);
    ok |= files_make_folders(place->out, "sub/x/y", &err);
    (void)nolink_unlink(place->out, "sub/x/y", AT_REMOVEDIR);
    (void)nolink_unlink(place->out, "sub/x", AT_REMOVEDIR);
    ok |= job_write_mark(place->out, "sub/mark", "inside", &err);
    files_sweep(place->out, "sub", FILES_DRAFT_PREFIX);
    return ok;
}

static void outputs_go_nowhere_else(struct place *place)
{
    make_file(place->base, "input", "a file that failed");
    int input = openat(place->base, "input", O_RDONLY | O_CLOEXEC);
    for (start_racer(place, "out/sub", "decoy", SWAPS); is_racing(place);) {
        place->inside += try_draft(place);
        place->inside += try_copy(place, input);
        place->inside += try_picture(place);
        place->inside += try_journal(place);
        place->inside += try_lock(place);
        place->inside += try_names(place);
        place->inside += try_store(place);
        assert_int_equal(faccessat(place->base, "outside/victim", F_OK, 0), 0);
    }
    (void)close(input);
    expect_outside_untouched(place);
    assert_true(place->inside > 0);
}

static void test_outputs(void **state)
{
    openat2_denial = 0;
    outputs_go_nowhere_else(*state);
}

static void test_outputs_without_openat2(void **state)
{
    openat2_denial = ENOSYS;
    outputs_go_nowhere_else(*state);
    openat2_denial = 0;
}

/* ---- what we read ---- */

static void read_below(struct place *place, bool by_component, const char *path, const char *link)
{
    const struct files_roots roots = {.root = place->out, .by_component = by_component};
    unsigned long refused = 0;
    for (start_racer(place, path, link, SWAPS / 2); is_racing(place);) {
        struct error err;
        struct stat status;
        char content[16] = "";
        int file;
        if (!files_open_input(&roots, "sub/input", &file, &status, &err)) {
            refused++;
            continue;
        }
        assert_true(read(file, content, sizeof content - 1) >= 0);
        assert_string_equal(content, "inside");
        place->inside++;
        (void)close(file);
    }
    assert_true(place->inside > 0 && refused > 0);
}

static void test_inputs(void **state)
{
    struct place *place = *state;
    make_file(place->base, "out/sub/input", "inside");
    make_link(place->base, "../../outside/input", "file-decoy");
    for (int by_component = 0; by_component <= 1; by_component++) {
        read_below(place, by_component != 0, "out/sub", "decoy");
        read_below(place, by_component != 0, "out/sub/input", "file-decoy");
    }
    expect_outside_untouched(place);
}

/* Does the racer win at all? Against a plain openat() it must, or the tests above would show nothing. */
static void test_the_racer_wins_against_plain_calls(void **state)
{
    struct place *place = *state;
    struct stat status;
    bool has_won = false;
    for (int round = 0; round < 20 && !has_won; round++) {
        for (start_racer(place, "out/sub", "decoy", SWAPS); is_racing(place);) {
            int file =
                openat(place->out, "sub/plain", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
            if (file >= 0)
                (void)close(file);
            has_won |= fstatat(place->base, "outside/plain", &status, 0) == 0;
            (void)unlinkat(place->out, "sub/plain", 0);
        }
    }
    assert_true(has_won);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_outputs, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_outputs_without_openat2, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_inputs, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_the_racer_wins_against_plain_calls, make_place, remove_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
