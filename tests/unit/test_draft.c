/* Pictures on their way: the folder that they are made in may go, or be another one, at any time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/outputs.h"
#include "tests/unit/folder.h"
#include "worker/draft.h"

struct scene {
    char path[64];
    struct draft_output output;
    struct draft draft;
};

static int start(void **state)
{
    static struct scene scene;
    scene = (struct scene){.output = DRAFT_OUTPUT_INIT, .draft.descriptor = -1};
    scene.output.dir = folder_new(scene.path);
    *state = &scene;
    return 0;
}

static int stop(void **state)
{
    struct scene *scene = *state;
    draft_drop(&scene->draft, &scene->output);
    folder_empty(dup(scene->output.dir));
    draft_output_close(&scene->output);
    return rmdir(scene->path);
}

static bool is_there(const struct scene *scene, const char *path)
{
    return faccessat(scene->output.dir, path, F_OK, 0) == 0;
}

static void prepare(struct scene *scene, const char *name)
{
    struct error err;
    assert_true(draft_prepare(&scene->draft, &scene->output, name, &err));
}

static void publish(struct scene *scene, const char *path)
{
    struct error err;
    assert_int_equal(write(scene->draft.descriptor, "picture", 7), 7);
    assert_true(draft_publish(&scene->draft, &scene->output, path, false, &err));
    assert_int_equal(scene->draft.descriptor, -1);
    assert_true(is_there(scene, path));
}

static void a_picture_is_made_aside_and_moved(void **state)
{
    struct scene *scene = *state;
    struct stat status;
    prepare(scene, "one");
    assert_true(is_there(scene, OUTPUTS_INCOMING "/one"));
    publish(scene, "a/b/picture.png");
    assert_false(is_there(scene, OUTPUTS_INCOMING "/one"));

    prepare(scene, "two");
    assert_int_equal(write(scene->draft.descriptor, "rest", 4), 4);
    prepare(scene, "three"); /* nobody used the other: it is taken, and empty */
    assert_true(is_there(scene, OUTPUTS_INCOMING "/two"));
    assert_false(is_there(scene, OUTPUTS_INCOMING "/three"));
    assert_int_equal(fstat(scene->draft.descriptor, &status), 0);
    assert_int_equal(status.st_size, 0);
    draft_drop(&scene->draft, &scene->output);
    assert_false(is_there(scene, OUTPUTS_INCOMING "/two"));
}

static void a_folder_that_was_removed_is_made_again(void **state)
{
    struct scene *scene = *state;
    for (int i = 0; i < 3; i++) {
        prepare(scene, "picture");
        publish(scene, "picture.png");
        assert_int_equal(unlinkat(scene->output.dir, OUTPUTS_INCOMING, AT_REMOVEDIR), 0);
    }
}

/* Whoever can write in the output folder puts a link in its place: what is being made stays where it was. */
static void a_link_in_its_place_is_not_followed(void **state)
{
    struct scene *scene = *state;
    struct error err;
    prepare(scene, "one");
    assert_int_equal(mkdirat(scene->output.dir, "else", 0700), 0);
    assert_int_equal(renameat(scene->output.dir, OUTPUTS_INCOMING, scene->output.dir, "away"), 0);
    char target[96];
    (void)snprintf(target, sizeof target, "%s/else", scene->path);
    assert_int_equal(symlinkat(target, scene->output.dir, OUTPUTS_INCOMING), 0);
    publish(scene, "one.png");
    prepare(scene, "two");
    assert_true(is_there(scene, "away/two"));
    publish(scene, "two.png");
    assert_int_equal(unlinkat(scene->output.dir, "away", AT_REMOVEDIR), 0);

    assert_false(draft_prepare(&scene->draft, &scene->output, "three", &err));
    assert_int_equal(err.kind, ERROR_RETRY);
    assert_false(is_there(scene, "else/three"));
}

static void an_output_folder_that_is_gone_is_told_of(void **state)
{
    struct scene *scene = *state;
    struct error err;
    prepare(scene, "one");
    publish(scene, "one.png");
    folder_empty(dup(scene->output.dir));
    assert_int_equal(rmdir(scene->path), 0);
    assert_false(draft_prepare(&scene->draft, &scene->output, "two", &err));
    assert_int_equal(err.kind, ERROR_RETRY);
    assert_int_equal(mkdir(scene->path, 0700), 0); /* for stop() */
}

/* So is one that pictures go to. */
static void a_folder_of_pictures_that_was_removed_is_made_again(void **state)
{
    struct scene *scene = *state;
    for (int i = 0; i < 3; i++) {
        prepare(scene, "picture");
        publish(scene, "a/b/picture.png");
        assert_int_equal(renameat(scene->output.dir, "a", scene->output.dir, "gone"), 0);
        assert_int_equal(unlinkat(scene->output.dir, "gone/b/picture.png", 0), 0);
        assert_int_equal(unlinkat(scene->output.dir, "gone/b", AT_REMOVEDIR), 0);
        assert_int_equal(unlinkat(scene->output.dir, "gone", AT_REMOVEDIR), 0);
    }
}

/* Folders of names that begin alike, and one that is another's. */
static void each_picture_goes_to_its_folder(void **state)
{
    struct scene *scene = *state;
    static const char *const paths[] = {"a/b/1.png", "a/b/2.png", "a/bc/1.png",
                                        "a/1.png",   "a/b/3.png", "1.png"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        prepare(scene, "picture");
        publish(scene, paths[i]);
    }
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        assert_true(is_there(scene, paths[i]));
}

/* What was moved away gets no more pictures, a little later. */
static void a_folder_that_was_moved_away_is_left(void **state)
{
    struct scene *scene = *state;
    prepare(scene, "picture");
    publish(scene, "a/1.png");
    assert_int_equal(renameat(scene->output.dir, "a", scene->output.dir, "away"), 0);
    scene->output.target_ms -= 1000;
    prepare(scene, "picture");
    publish(scene, "a/2.png");
    assert_false(is_there(scene, "away/2.png"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_picture_is_made_aside_and_moved, start, stop),
        cmocka_unit_test_setup_teardown(a_folder_that_was_removed_is_made_again, start, stop),
        cmocka_unit_test_setup_teardown(a_folder_of_pictures_that_was_removed_is_made_again, start, stop),
        cmocka_unit_test_setup_teardown(each_picture_goes_to_its_folder, start, stop),
        cmocka_unit_test_setup_teardown(a_folder_that_was_moved_away_is_left, start, stop),
        cmocka_unit_test_setup_teardown(a_link_in_its_place_is_not_followed, start, stop),
        cmocka_unit_test_setup_teardown(an_output_folder_that_is_gone_is_told_of, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
