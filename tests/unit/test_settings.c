/* The settings' loader: sources, precedence, types, ranges, names, defaults, and what it says of mistakes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/alloc.h"
#include "common/settings.h"
#include "common/settings_table.h"

/* Each test runs in an empty folder of its own, without NIFFLER_ variables. */
static int set_up(void **state)
{
    char folder[] = "/tmp/niffler-settings-XXXXXX";
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    *state = xstrdup(folder);
    for (size_t i = 0; i < settings_table_count; i++) {
        char name[64];
        settings_environment_name(settings_table[i].key, name, sizeof name);
        assert_int_equal(unsetenv(name), 0);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)unlink("config.json");
    (void)unlink("other.json");
    assert_int_equal(chdir("/"), 0);
    int result = rmdir(*state);
    free(*state);
    return result;
}

static void write_file(const char *path, const char *text)
{
    FILE *stream = fopen(path, "w");
    assert_non_null(stream);
    assert_int_equal(fputs(text, stream) >= 0, 1);
    assert_int_equal(fclose(stream), 0);
}

/* Load with the given config.json (NULL: none) and up to two flags; NULL flags are left out. */
static bool load(struct settings *settings, const char *config, const char *flag, const char *value,
                 struct error *err)
{
    char *argv[2];
    int argc = 0;
    if (config != NULL)
        write_file("config.json", config);
    if (flag != NULL)
        argv[argc++] = xstrdup(flag);
    if (value != NULL)
        argv[argc++] = xstrdup(value);
    memset(err, 0, sizeof *err);
    bool ok = settings_load(settings, NULL, argc, argv, err);
    while (argc > 0)
        free(argv[--argc]);
    return ok;
}

static void expect_loaded(struct settings *settings, const char *config, const char *flag, const char *value)
{
    struct error err;
    if (!load(settings, config, flag, value, &err))
        fail_msg("%s", err.text);
}

/* Loading fails, and the sentence holds `part` (and `second`). */
static void expect_refused(const char *config, const char *flag, const char *value, const char *part,
                           const char *second)
{
    struct settings settings;
    struct error err;
    assert_false(load(&settings, config, flag, value, &err));
    settings_clear(&settings);
    assert_int_equal(err.kind, ERROR_FATAL);
    if (strstr(err.text, part) == NULL || (second != NULL && strstr(err.text, second) == NULL))
        fail_msg("'%s' does not say '%s' and '%s'", err.text, part, second != NULL ? second : part);
}

static void test_defaults(void **state)
{
    (void)state;
    struct settings s;
    expect_loaded(&s, NULL, NULL, NULL);
    assert_null(s.dicom_home);
    assert_int_equal(s.depth, -1);
    assert_string_equal(s.file_pattern, "*");
    assert_false(s.file_pattern_given);
    assert_false(s.options.pattern_given);
    assert_false(s.links_anywhere);
    assert_null(s.link_roots);
    assert_true(s.options.print_images);
    assert_true(s.options.is_16_bit);
    assert_true(s.options.public_headers_only);
    assert_true(s.options.invert_monochrome1);
    assert_false(s.options.compatibility_niffler);
    assert_int_equal(s.options.flattened_to_level, FLATTEN_PATIENT);
    assert_int_equal(s.options.pixel_scaling, PIXEL_SCALING_FULL);
    assert_int_equal(s.options.value_format, VALUE_FORMAT_DICOM);
    assert_int_equal(s.options.frames, FRAMES_ALL);
    assert_int_equal(s.options.max_value_bytes, 4096);
    assert_int_equal(s.options.max_pixels, 1u << 28);
    assert_int_equal(s.options.max_nesting, 128);
    assert_int_equal(s.decoder_memory_bytes, UINT64_C(2) << 30);
    assert_int_equal(s.decoder_seconds, 60);
    assert_int_equal(s.log_level, LOG_LEVEL_INFO);
    assert_true(s.send_email);
    assert_null(s.your_email);
    assert_int_equal(s.smtp_start_tls, SMTP_START_TLS_REQUIRED);
    assert_string_equal(s.feature_set_file, "featureset.txt");
    settings_clear(&s);
}

static void test_defaults_of_compatibility(void **state)
{
    (void)state;
    struct settings s;
    expect_loaded(&s, "{\"PixelScaling\": \"stored\"}", "--Compatibility", "niffler");
    assert_true(s.options.compatibility_niffler);
    assert_int_equal(s.depth, 0);
    assert_string_equal(s.file_pattern, "*.dcm");
    assert_true(s.file_pattern_given);
    assert_true(s.options.pattern_given);
    assert_true(s.links_anywhere);
    assert_false(s.options.invert_monochrome1);
    assert_int_equal(s.options.value_format, VALUE_FORMAT_NIFFLER);
    assert_int_equal(s.options.max_value_bytes, 0);
    /* What was set stays so. */
    assert_int_equal(s.options.pixel_scaling, PIXEL_SCALING_STORED);
    settings_clear(&s);
}

static const char niffler_config[] = "{\"DICOMHome\": \"/opt/data/new-study\", \"OutputDirectory\": "
                                     "\"/opt/data/new-study/root\", \"Depth\": 0,"
                                     " \"SplitIntoChunks\": 1, \"PrintImages\": true, \"CommonHeadersOnly\": "
                                     "false, \"PublicHeadersOnly\": true,"
                                     " \"SpecificHeadersOnly\": false, \"UseProcesses\": 0, "
                                     "\"FlattenedToLevel\": \"patient\", \"is16Bit\": true,"
                                     " \"SendEmail\": true, \"YourEmail\": \"test@test.test\"}";

static void test_config_of_niffler(void **state)
{
    (void)state;
    struct settings s;
    expect_loaded(&s, niffler_config, NULL, NULL);
    assert_string_equal(s.dicom_home, "/opt/data/new-study");
    assert_string_equal(s.output_directory, "/opt/data/new-study/root");
    assert_int_equal(s.depth, 0);
    assert_null(s.your_email); /* its example address is nobody's */
    settings_clear(&s);
}

static void test_config_of_strings(void **state)
{
    (void)state;
    struct settings s;
    expect_loaded(
        &s,
        "{\"Depth\": \"3\", \"PrintImages\": \"False\", \"is16Bit\": \"0\", \"SendEmail\": \"no\","
        " \"CommonHeadersOnly\": \"TRUE\", \"SpecificHeadersOnly\": 1, \"PublicHeadersOnly\": 0.0,"
        " \"UseProcesses\": \"0.5\", \"SplitIntoChunks\": 4.0, \"MaxPixels\": \"2k\", \"MaxFrames\": 7}",
        NULL, NULL);
    assert_int_equal(s.depth, 3);
    assert_false(s.options.print_images);
    assert_false(s.options.is_16_bit);
    assert_false(s.send_email);
    assert_true(s.common_headers_only);
    assert_true(s.specific_headers_only);
    assert_false(s.options.public_headers_only);
    assert_true(s.use_processes == 0.5);
    assert_int_equal(s.split_into_chunks, 4);
    assert_int_equal(s.options.max_pixels, 2048);
    assert_int_equal(s.options.max_frames, 7);
    settings_clear(&s);
}

static void test_config_malformed(void **state)
{
    (void)state;
    expect_refused("{\"Depth\": 1,\n  \"is16Bit\" true}", NULL, NULL, "'config.json', line 2, column", NULL);
    expect_refused("", NULL, NULL, "'config.json', line 1", NULL);
    expect_refused("{\"Depth\": 1} tail", NULL, NULL, "end of file expected", NULL);
    expect_refused("[1, 2]", NULL, NULL, "found is a list", NULL);
    expect_refused("{\"DICOMHome\": \"\xff\"}", NULL, NULL, "line 1, column 15: unable to decode byte 0xff",
                   NULL);
    expect_refused("{\"DICOMHome\": \"a\\u0000b\"}", NULL, NULL, "config.json", "line 1");
    expect_refused("{\"Depth\": 1, \"Depth\": 2}", NULL, NULL, "duplicate object key", "Depth");
    char *deep = xcalloc(1, 100001);
    memset(deep, '[', 100000);
    expect_refused(deep, NULL, NULL, "config.json", "depth");
    free(deep);
}

static void test_config_byte_order_mark(void **state)
{
    (void)state;
    struct settings s;
    expect_loaded(&s, "\xef\xbb\xbf{\"Depth\": 2}", NULL, NULL);
    assert_int_equal(s.depth, 2);
    settings_clear(&s);
}

static void test_config_too_long(void **state)
{
    (void)state;
    size_t length = 2u << 20;
    char *text = xcalloc(1, length);
    memset(text, ' ', length - 1);
    expect_refused(text, NULL, NULL, "longer than", NULL);
    free(text);
}

static void test_config_wrong_types(void **state)
{
    (void)state;
    expect_refused("{\"Depth\": null}", NULL, NULL, "cannot use null as 'Depth' (from config.json)",
                   "a whole number");
    expect_refused("{\"Depth\": {}}", NULL, NULL, "an object", "whole number");
    expect_refused("{\"Depth\": true}", NULL, NULL, "cannot use true as 'Depth'", NULL);
    expect_refused("{\"Depth\": 1.5}", NULL, NULL, "cannot use '1.5' as 'Depth'", NULL);
    expect_refused("{\"DICOMHome\": 5}", NULL, NULL, "cannot use a number as 'DICOMHome'", "text");
    expect_refused("{\"DICOMHome\": [\"a\"]}", NULL, NULL, "cannot use a list as 'DICOMHome'", NULL);
    expect_refused("{\"is16Bit\": 2}", NULL, NULL, "cannot use '2' as 'is16Bit'", "true or false");
    expect_refused("{\"is16Bit\": \"on\"}", NULL, NULL, "cannot use 'on' as 'is16Bit'", "true or false");
    expect_refused("{\"LinkRoots\": [\"/a\", 5]}", NULL, NULL, "LinkRoots", "folders");
    expect_refused("{\"LinkRoots\": [\"/a:b\"]}", NULL, NULL, "LinkRoots", "folders");
    expect_refused("{\"PixelScaling\": \"linear\"}", NULL, NULL, "PixelScaling",
                   "full, niffler, stored or window");
}

static void test_unknown_names(void **state)
{
    (void)state;
    expect_refused("{\"Dept\": 1}", NULL, NULL, "unknown setting 'Dept'", "'Depth'");
    expect_refused("{\"dicomhome\": \"x\"}", NULL, NULL, "unknown setting 'dicomhome'", "'DICOMHome'");
    expect_refused("{\"Is16bit\": 1}", NULL, NULL, "unknown setting 'Is16bit'", "'is16Bit'");
    expect_refused("{}", "--flattenedToLevle", "study", "unknown flag '--flattenedToLevle'",
                   "'--FlattenedToLevel'");
    expect_refused("{}", "Depth", NULL, "unexpected argument 'Depth'", "--Key value");
    expect_refused("{}", "--", "x", "unexpected argument '--'", NULL);
    expect_refused("{}", "--=5", NULL, "unexpected argument", NULL);
    expect_refused("{\"a\\nb\": 1}", NULL, NULL, "unknown setting 'a?b'", NULL);
}

static void test_file_missing(void **state)
{
    (void)state;
    struct settings s;
    struct error err;
    assert_false(settings_load(&s, "other.json", 0, NULL, &err));
    settings_clear(&s);
    assert_non_null(strstr(err.text, "'other.json'"));
    assert_false(settings_load(&s, ".", 0, NULL, &err)); /* a folder */
    settings_clear(&s);
    assert_int_equal(err.kind, ERROR_FATAL);
}

static void test_precedence(void **state)
{
    (void)state;
    struct settings s;
    assert_int_equal(setenv("NIFFLER_DEPTH", "2", 1), 0);
    assert_int_equal(setenv("NIFFLER_IS_16_BIT", "", 1), 0); /* empty: not set */
    assert_int_equal(setenv("NIFFLER_NOT_A_SETTING", "x", 1), 0);
    expect_loaded(&s, "{\"Depth\": 1, \"is16Bit\": false}", "--Depth", "3");
    assert_int_equal(s.depth, 3);
    settings_clear(&s);
    expect_loaded(&s, NULL, NULL, NULL);
    assert_int_equal(s.depth, 2);
    assert_false(s.options.is_16_bit);
    settings_clear(&s);
    assert_int_equal(unsetenv("NIFFLER_DEPTH"), 0);
    assert_int_equal(unsetenv("NIFFLER_NOT_A_SETTING"), 0);
    expect_loaded(&s, NULL, NULL, NULL);
    assert_int_equal(s.depth, 1);
    settings_clear(&s);
    /* A mistake is reported even where a flag overrules it. */
    assert_int_equal(setenv("NIFFLER_DEPTH", "deep", 1), 0);
    expect_refused(NULL, "--Depth", "3", "cannot use 'deep' as 'Depth' (from NIFFLER_DEPTH)", NULL);
    assert_int_equal(unsetenv("NIFFLER_DEPTH"), 0);
    expect_loaded(&s, NULL, "--Depth=5", "--Depth=6"); /* the last one */
    assert_int_equal(s.depth, 6);
    settings_clear(&s);
}

static void test_flag_forms(void **state)
{
    (void)state;
    struct settings s;
    expect_loaded(&s, "{}", "--Dep=-1", NULL);
    assert_int_equal(s.depth, -1);
    settings_clear(&s);
    expect_loaded(&s, "{}", "--DICOMHome", "-folder");
    assert_string_equal(s.dicom_home, "-folder");
    settings_clear(&s);
    expect_loaded(&s, "{}", "--DIC=--folder=x", NULL);
    assert_string_equal(s.dicom_home, "--folder=x");
    settings_clear(&s);
    expect_refused("{}", "--Sm=x", NULL, "ambiguous flag '--Sm'", "'--SmtpUrl', '--SmtpUser'");
    expect_refused("{}", "--Depth", NULL, "flag '--Depth' needs a value", NULL);
    expect_refused("{}", "--Depth", "--is16Bit", "flag '--Depth' needs a value", NULL);
}

static void test_ranges(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "--Depth=-2",
        "--Depth=",
        "--Depth= 1",
        "--Depth=+1",
        "--Depth=1x",
        "--Depth=0x10",
        "--Depth=1e1",
        "--Depth=99999999999999999999",
        "--MaxNesting=0",
        "--MaxPixels=0",
        "--MaxPixels=1T",
        "--MaxPixels=G",
        "--MaxPixels=9999999999G",
        "--UseProcesses=-1",
        "--UseProcesses=1.5",
        "--UseProcesses=nan",
        "--UseProcesses=.",
        "--Frames=0",
        "--Frames=last",
        "--Frames=-1",
        "--LinkRoots=",
        "--LinkRoots=/a:",
        "--LinkRoots=/a::/b",
        "--is16Bit=",
        "--MaxValueBytes=-1",
        "--PixelScaling=Full",
        "--DecoderMemory=1K",
        "--SplitIntoChunks=0",
        "--FlattenedToLevel=instance",
        "--LogLevel=loud",
        "--Window=lungs",
        "--Window=index:0",
        "--Window=40",
        "--Window=40,0.5",
        "--Window=40,400,",
        "--Window=nan,400",
        "--Window=40,inf",
        "--Overlays=draw",
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        expect_refused("{}", refused[i], NULL, "cannot use '", "allowed is ");
    struct settings s;
    expect_loaded(&s, "{}", "--UseProcesses=2.0", "--Frames=17");
    assert_true(s.use_processes == 2);
    assert_int_equal(s.options.frames, FRAMES_NUMBER);
    assert_int_equal(s.options.frame_number, 17);
    settings_clear(&s);
    expect_loaded(&s, "{}", "--Window=-600.5,1500", "--PixelScaling=window");
    assert_int_equal(s.options.window, WINDOW_VALUES);
    assert_true(s.options.window_center == -600.5 && s.options.window_width == 1500);
    settings_clear(&s);
    expect_loaded(&s, "{}", "--Window=index:3", "--Overlays=burn");
    assert_int_equal(s.options.window, WINDOW_INDEX);
    assert_int_equal(s.options.window_index, 3);
    assert_int_equal(s.options.overlays, OVERLAYS_BURN);
    settings_clear(&s);
    expect_loaded(&s, "{}", "--MaxValueBytes=0", "--DecoderMemory=3g");
    assert_int_equal(s.options.max_value_bytes, 0);
    assert_int_equal(s.decoder_memory_bytes, UINT64_C(3) << 30);
    settings_clear(&s);
}

static void test_level_under_compatibility(void **state)
{
    (void)state;
    struct settings s;
    expect_loaded(&s, "{\"Compatibility\": \"niffler\"}", "--FlattenedToLevel=instance", NULL);
    assert_int_equal(s.options.flattened_to_level, FLATTEN_SERIES);
    settings_clear(&s);
    expect_loaded(&s, "{\"Compatibility\": \"niffler\"}", "--FlattenedToLevel=study", NULL);
    assert_int_equal(s.options.flattened_to_level, FLATTEN_STUDY);
    settings_clear(&s);
}

static void test_link_roots(void **state)
{
    (void)state;
    struct settings s;
    expect_loaded(&s, "{\"LinkRoots\": [\"/a\", \"/b c\"]}", NULL, NULL);
    assert_string_equal(s.link_roots[0], "/a");
    assert_string_equal(s.link_roots[1], "/b c");
    assert_null(s.link_roots[2]);
    settings_clear(&s);
    expect_loaded(&s, "{\"LinkRoots\": []}", NULL, NULL);
    assert_null(s.link_roots);
    settings_clear(&s);
    expect_loaded(&s, "{\"LinkRoots\": \"anywhere\"}", "--LinkRoots", "/x:/y");
    assert_false(s.links_anywhere);
    assert_string_equal(s.link_roots[1], "/y");
    settings_clear(&s);
}

static void test_no_password_in_url(void **state)
{
    (void)state;
    struct settings s;
    struct error err;
    assert_false(load(&s, "{\"SmtpUrl\": \"smtp://user:geheim@host\"}", NULL, NULL, &err));
    settings_clear(&s);
    assert_null(strstr(err.text, "geheim"));
    assert_non_null(strstr(err.text, "SmtpPasswordFile"));
}

static void test_check_complete(void **state)
{
    (void)state;
    static const char *const needed[] = {"DICOMHome", "OutputDirectory", NULL};
    struct settings s;
    struct error err;
    expect_loaded(&s, NULL, "--OutputDirectory=/o", NULL);
    assert_false(settings_check_given(&s, needed, &err));
    assert_non_null(strstr(err.text, "'DICOMHome' is not set"));
    settings_clear(&s);
    expect_loaded(&s, NULL, "--DICOMHome=/i", NULL);
    assert_false(settings_check_given(&s, needed, &err));
    assert_non_null(strstr(err.text, "'OutputDirectory' is not set"));
    settings_clear(&s);
    expect_loaded(&s, NULL, "--DICOMHome=/i", "--OutputDirectory=/o");
    assert_true(settings_check_given(&s, needed, &err));
    settings_clear(&s);
}

static void test_environment_names(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        {"DICOMHome", "NIFFLER_DICOM_HOME"},
        {"is16Bit", "NIFFLER_IS_16_BIT"},
        {"SmtpUrl", "NIFFLER_SMTP_URL"},
        {"SmtpStartTls", "NIFFLER_SMTP_START_TLS"},
        {"Depth", "NIFFLER_DEPTH"},
        {"InvertMonochrome1", "NIFFLER_INVERT_MONOCHROME1"},
        {"MaxMetadataBytes", "NIFFLER_MAX_METADATA_BYTES"},
    };
    char name[64];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        settings_environment_name(names[i][0], name, sizeof name);
        assert_string_equal(name, names[i][1]);
    }
    for (size_t i = 0; i < settings_table_count; i++) {
        for (size_t j = 0; j < i; j++) {
            char other[64];
            settings_environment_name(settings_table[i].key, name, sizeof name);
            settings_environment_name(settings_table[j].key, other, sizeof other);
            assert_string_not_equal(name, other);
        }
    }
}

static void test_fingerprint(void **state)
{
    (void)state;
    struct settings s;
    char *texts[6];
    static const char *const flags[] = {"--is16Bit=yes",          "--is16Bit=1",
                                        "--UseProcesses=2",       "--is16Bit=false",
                                        "--DICOMHome=a\nDepth=0", "--FilePattern=*"};
    for (size_t i = 0; i < 6; i++) {
        expect_loaded(&s, NULL, flags[i], NULL);
        texts[i] = settings_fingerprint(&s);
        settings_clear(&s);
    }
    assert_string_equal(texts[0], texts[1]);
    assert_string_equal(texts[0], texts[2]);
    assert_string_not_equal(texts[0], texts[3]);
    assert_string_not_equal(texts[0], texts[5]); /* asking for a pattern makes other files failures */
    assert_null(strstr(texts[4], "\nDepth=0\n"));
    for (size_t i = 0; i < 6; i++)
        free(texts[i]);
}

static char *shown_text(const struct settings *s)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    assert_non_null(stream);
    settings_show(s, stream);
    assert_int_equal(fclose(stream), 0);
    return text;
}

static void test_show(void **state)
{
    (void)state;
    struct settings s;
    assert_int_equal(setenv("NIFFLER_PRINT_IMAGES", "no", 1), 0);
    expect_loaded(&s, "{\"Compatibility\": \"niffler\", \"MaxPixels\": 1048576}", "--Frames=first", NULL);
    char *text = shown_text(&s);
    assert_non_null(strstr(text, "Compatibility = niffler  (from config.json)\n"));
    assert_non_null(strstr(text, "MaxPixels = 1M  (from config.json)\n"));
    assert_non_null(strstr(text, "PrintImages = false  (from environment)\n"));
    assert_non_null(strstr(text, "Frames = first  (from flag)\n"));
    assert_non_null(strstr(text, "Depth = 0  (from Compatibility)\n"));
    assert_non_null(strstr(text, "is16Bit = true  (from default)\n"));
    free(text);
    settings_clear(&s);
    assert_int_equal(unsetenv("NIFFLER_PRINT_IMAGES"), 0);
}

static void test_decoder_count(void **state)
{
    (void)state;
    struct settings s = {.use_processes = 0};
    unsigned cores = settings_decoder_count(&s);
    assert_true(cores >= 1);
    s.use_processes = 1;
    assert_int_equal(settings_decoder_count(&s), 1);
    s.use_processes = 99999;
    assert_int_equal(settings_decoder_count(&s), cores);
    s.use_processes = 0.5;
    assert_int_equal(settings_decoder_count(&s), cores > 1 ? cores / 2 : 1);
    s.use_processes = 0.0001;
    assert_int_equal(settings_decoder_count(&s), 1);
}

/* Every default passes its own row's check, and every row has what its type needs. */
static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < settings_table_count; i++) {
        const struct settings_row *row = &settings_table[i];
        char *canonical = settings_canonical(row, row->standard);
        assert_non_null(canonical);
        free(canonical);
        canonical = settings_canonical(row, row->niffler != NULL ? row->niffler : row->standard);
        assert_non_null(canonical);
        free(canonical);
        assert_int_equal(row->choices != NULL, row->type == SETTINGS_CHOICE);
        assert_int_equal(settings_find(row->key), i);
        assert_string_equal(settings_nearest(row->key), row->key);
        assert_int_equal(row->help[strlen(row->help) - 1], '.');
    }
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static void test_the_presets_of_the_help_are_those_that_are_known(void **state)
{
    (void)state;
    char names[] = SETTINGS_PRESETS;
    int count = 0;
    for (char *name = strtok(names, ", "); name != NULL; name = strtok(NULL, ", "), count++) {
        struct options options = {0};
        assert_true(settings_parse_window(name, &options));
        assert_int_equal(options.window, WINDOW_VALUES);
        assert_true(options.window_width >= 1);
    }
    assert_int_equal(count, 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_presets_of_the_help_are_those_that_are_known),
        IN_FOLDER(test_defaults),
        IN_FOLDER(test_defaults_of_compatibility),
        IN_FOLDER(test_config_of_niffler),
        IN_FOLDER(test_config_of_strings),
        IN_FOLDER(test_config_malformed),
        IN_FOLDER(test_config_byte_order_mark),
        IN_FOLDER(test_config_too_long),
        IN_FOLDER(test_config_wrong_types),
        IN_FOLDER(test_unknown_names),
        IN_FOLDER(test_file_missing),
        IN_FOLDER(test_precedence),
        IN_FOLDER(test_flag_forms),
        IN_FOLDER(test_ranges),
        IN_FOLDER(test_level_under_compatibility),
        IN_FOLDER(test_link_roots),
        IN_FOLDER(test_no_password_in_url),
        IN_FOLDER(test_check_complete),
        IN_FOLDER(test_environment_names),
        IN_FOLDER(test_fingerprint),
        IN_FOLDER(test_show),
        IN_FOLDER(test_decoder_count),
        IN_FOLDER(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
