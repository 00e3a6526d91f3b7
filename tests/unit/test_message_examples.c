/* common/MESSAGES.md: every example is a message that our own readers take and our own writers would write,
 * and the members in the tables are those of the examples. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "common/buffer.h"
#include "common/job.h"
#include "common/record.h"
#include "common/task.h"

#define EXAMPLE "<!-- example: "

static void read_document(struct buffer *text)
{
    FILE *file = fopen(NIFFLER_SOURCE_DIR "/common/MESSAGES.md", "rb");
    size_t n;
    assert_non_null(file);
    while ((n = fread(buffer_reserve(text, 65536), 1, 65536, file)) > 0)
        text->length += n;
    assert_int_equal(fclose(file), 0);
    (void)buffer_text(text);
}

/* Without the blanks and line breaks that stand between members, for reading. */
static void compact(const char *text, const char *end, struct buffer *out)
{
    bool is_string = false;
    for (; text < end; text++) {
        if (is_string && *text == '\\')
            buffer_append_char(out, *text++);
        else if (*text == '"')
            is_string = !is_string;
        if (is_string || (*text != ' ' && *text != '\n'))
            buffer_append_char(out, *text);
    }
}

/* The next example behind *at: its kind, and its text without blanks. */
static bool next_example(const char **at, char kind[16], struct buffer *json)
{
    const char *mark = strstr(*at, EXAMPLE);
    static const char fence[] = " -->\n```json\n";
    if (mark == NULL)
        return false;
    mark += strlen(EXAMPLE);
    size_t length = strspn(mark, "abcdefghijklmnopqrstuvwxyz");
    assert_in_range(length, 1, 15);
    memcpy(kind, mark, length);
    kind[length] = '\0';
    mark += length;
    assert_memory_equal(mark, fence, strlen(fence));
    mark += strlen(fence);
    const char *end = strstr(mark, "\n```\n");
    assert_non_null(end);
    buffer_truncate(json, 0);
    compact(mark, end, json);
    *at = end;
    return true;
}

/* ---- read and written again ---- */

static void rewrite_task(const char *json, size_t length, struct buffer *out)
{
    struct task task = {0};
    struct error err = {0};
    if (!task_from_json(json, length, &task, &err))
        fail_msg("%s: %s", err.text, json);
    task_to_json(&task, out);
    task_clear(&task);
}

static void rewrite_record(const char *json, size_t length, struct buffer *out)
{
    struct record rec = {0};
    struct error err = {0};
    if (!record_from_json(json, length, &rec, &err))
        fail_msg("%s: %s", err.text, json);
    assert_false(notice_is_one(json, length));
    if (rec.spilled != 0)
        record_to_json_spilled(&rec, record_text(&rec, rec.spilled), out);
    else
        record_to_json(&rec, out);
    record_clear(&rec);
}

static void rewrite_notice(const char *json, size_t length, struct buffer *out)
{
    struct notice notice = {0};
    struct error err = {0};
    assert_true(notice_is_one(json, length));
    if (!notice_from_json(json, length, &notice, &err))
        fail_msg("%s: %s", err.text, json);
    notice_to_json(&notice, out);
    job_clear(&notice.job);
}

static void rewrite_letter(const char *json, size_t length, struct buffer *out)
{
    json_error_t where;
    json_t *letter = json_loadb(json, length, JSON_REJECT_DUPLICATES, &where);
    const char *kind, *reason, *message;
    int version;
    size_t message_length;
    if (letter == NULL)
        fail_msg("%s: %s", where.text, json);
    assert_int_equal(json_unpack(letter, "{s:i, s:s, s:s, s:s%}", "v", &version, "kind", &kind, "reason",
                                 &reason, "message", &message, &message_length),
                     0);
    letter_to_json(kind, reason, message, message_length, out);
    json_decref(letter);
}

static const struct {
    const char *name;
    void (*rewrite)(const char *json, size_t length, struct buffer *out);
    unsigned least;
} kinds[] = {{"task", rewrite_task, 1},
             {"record", rewrite_record, 3},
             {"notice", rewrite_notice, 4},
             {"letter", rewrite_letter, 1}};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* The same with a member that nobody knows at the end of every object. */
static void add_later_members(const struct buffer *json, struct buffer *out)
{
    bool is_string = false;
    buffer_truncate(out, 0);
    for (size_t i = 0; i < json->length; i++) {
        if (is_string && json->data[i] == '\\')
            buffer_append_char(out, json->data[i++]);
        else if (json->data[i] == '"')
            is_string = !is_string;
        if (!is_string && json->data[i] == '}')
            buffer_append_text(out, ",\"later\":{\"a\":[1,{\"b\":\"]}\\\"\"}],\"c\":null}");
        buffer_append_char(out, json->data[i]);
    }
}

/* Messages of the days before, and of workers that were replaced already, come back as our own would be. */
static void every_example_is_what_we_would_write(void **state)
{
    (void)state;
    unsigned seen[KINDS] = {0};
    struct buffer document = {0}, json = {0}, later = {0}, again = {0};
    char kind[16];
    read_document(&document);
    for (const char *at = document.data; next_example(&at, kind, &json);) {
        size_t i = 0;
        while (i < KINDS && strcmp(kinds[i].name, kind) != 0)
            i++;
        assert_in_range(i, 0, KINDS - 1);
        seen[i]++;
        buffer_truncate(&again, 0);
        kinds[i].rewrite(buffer_text(&json), json.length, &again);
        assert_string_equal(buffer_text(&again), buffer_text(&json));
        add_later_members(&json, &later);
        assert_true(later.length > json.length);
        buffer_truncate(&again, 0);
        kinds[i].rewrite(buffer_text(&later), later.length, &again);
        assert_string_equal(buffer_text(&again), buffer_text(&json));
    }
    for (size_t i = 0; i < KINDS; i++)
        assert_in_range(seen[i], kinds[i].least, UINT32_MAX);
    buffer_clear(&document);
    buffer_clear(&json);
    buffer_clear(&later);
    buffer_clear(&again);
}

/* ---- the tables ---- */

/* Note the keys of an object and of what is in it; those below "options" have a table of their own. */
static void collect(const json_t *value, json_t *keys, json_t *options)
{
    const char *key;
    json_t *member;
    size_t i;
    if (json_is_array(value))
        json_array_foreach(value, i, member) collect(member, keys, options);
    if (!json_is_object(value))
        return;
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        (void)json_object_set_new(keys, key, json_true());
        collect(member, strcmp(key, "options") == 0 ? options : keys, options);
    }
}

/* The members that a section's rows name: all that stands between backticks in the first cell; of an array or
 * object also what its third cell names before a comma, a blank or a bracket. */
static void collect_rows(const char *section, const char *end, bool with_meaning, json_t *members)
{
    for (const char *row = section; row != NULL && row < end; row = strchr(row + 1, '\n')) {
        unsigned cell = 0;
        if (row[1] != '|')
            continue;
        for (const char *at = row + 1; *at != '\n'; at++) {
            cell += *at == '|';
            if (*at != '`')
                continue;
            size_t length = strcspn(at + 1, "`\n");
            char name[64];
            assert_in_range(length, 1, sizeof name - 1);
            memcpy(name, at + 1, length);
            name[length] = '\0';
            if (cell == 1 || (with_meaning && cell == 3))
                (void)json_object_set_new(members, name, json_true());
            at += length + 1;
        }
    }
}

static bool has_all(json_t *of, json_t *in, const char *what)
{
    const char *key;
    json_t *value;
    bool ok = true;
    json_object_foreach(of, key, value)
    {
        if (json_object_get(in, key) == NULL) {
            print_error("'%s' %s\n", key, what);
            ok = false;
        }
    }
    return ok;
}

static const char *find_section(const char *document, const char *title, const char **end)
{
    const char *section = strstr(document, title);
    assert_non_null(section);
    section += strlen(title);
    *end = strstr(section, "\n## ");
    assert_non_null(*end);
    return section;
}

static void the_tables_name_the_members_of_the_examples(void **state)
{
    (void)state;
    static const char *const titles[] = {"\n## task (", "\n## record (", "\n## notice (",
                                         "\n## dead letter ("};
    struct buffer document = {0}, json = {0};
    json_t *options = json_object(), *options_rows = json_object();
    const char *end;
    char kind[16];
    bool ok = true;
    read_document(&document);
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++) {
        const char *section = find_section(document.data, titles[i], &end), *at = section;
        json_t *keys = json_object(), *rows = json_object(), *words = json_object();
        while (next_example(&at, kind, &json) && at < end) {
            json_t *message = json_loadb(json.data, json.length, JSON_REJECT_DUPLICATES, NULL);
            assert_non_null(message);
            collect(message, keys, options);
            json_decref(message);
        }
        collect_rows(section, end, false, rows);
        collect_rows(section, end, true, words);
        assert_true(json_object_size(rows) > 3);
        ok &= has_all(rows, keys, "is in a table and in no example");
        ok &= has_all(keys, words, "is in an example and in no table");
        json_decref(keys);
        json_decref(rows);
        json_decref(words);
    }
    const char *section = find_section(document.data, "\n## options (", &end);
    collect_rows(section, end, false, options_rows);
    assert_true(json_object_size(options_rows) > 10);
    ok &= has_all(options_rows, options, "is in the table of options and in no example");
    ok &= has_all(options, options_rows, "is in an example and not in the table of options");
    assert_true(ok);
    json_decref(options);
    json_decref(options_rows);
    buffer_clear(&document);
    buffer_clear(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_example_is_what_we_would_write),
        cmocka_unit_test(the_tables_name_the_members_of_the_examples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
