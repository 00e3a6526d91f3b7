/* Texts that a person or a form writes: config.json, flags, windows and frames, Redis URLs, and the file of
 * Kafka's properties. The first byte says which of them the others are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/kafka_client.h"
#include "common/redis.h"
#include "common/settings.h"
#include "common/settings_table.h"
#include "tests/fuzz/fuzz.h"

#define ARGUMENTS_MAX 16

/* A file in memory, and its path. */
static const char *write_file(const uint8_t *data, size_t size)
{
    static int descriptor = -1;
    static char path[64];
    if (descriptor < 0) {
        descriptor = memfd_create("settings", MFD_CLOEXEC);
        (void)snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    }
    if (ftruncate(descriptor, 0) != 0 || pwrite(descriptor, data, size, 0) != (ssize_t)size)
        abort();
    return path;
}

/* What was taken is shown, and taken again as it is shown. */
static void check_settings(const struct settings *settings)
{
    static FILE *nowhere;
    if (nowhere == NULL)
        nowhere = fopen("/dev/null", "we");
    settings_show(settings, nowhere);
    char *fingerprint = settings_fingerprint(settings);
    fuzz_use(strlen(fingerprint) + settings_decoder_count(settings));
    free(fingerprint);
    for (size_t i = 0; i < settings_table_count; i++) {
        char *canonical = settings_canonical(&settings_table[i], settings->values[i].text);
        bool is_empty = settings->values[i].text == NULL || settings->values[i].text[0] == '\0';
        if (!is_empty && (canonical == NULL || strcmp(canonical, settings->values[i].text) != 0))
            abort();
        free(canonical);
    }
}

static void load(const char *config, int argc, char **argv)
{
    struct settings settings = {0};
    struct error err = {0};
    if (settings_load(&settings, config, argc, argv, &err))
        check_settings(&settings);
    else if (err.kind != ERROR_FATAL || err.text[0] == '\0')
        abort();
    settings_clear(&settings);
}

static void load_flags(const uint8_t *data, size_t size)
{
    char *text = xmemdup_text(data, size), *argv[ARGUMENTS_MAX + 1];
    int argc = 0;
    for (size_t at = 0; at < size && argc < ARGUMENTS_MAX; at += strlen(text + at) + 1)
        argv[argc++] = text + at;
    argv[argc] = NULL;
    load(write_file((const uint8_t *)"{}", 2), argc, argv);
    free(text);
}

static void parse_window(const char *text)
{
    struct options options = {0};
    if (settings_parse_window(text, &options) && options.window == WINDOW_VALUES &&
        !(options.window_width >= 1 && options.window_width < 1e300 && options.window_center > -1e300 &&
          options.window_center < 1e300))
        abort();
}

static void parse_redis(const char *text)
{
    struct redis_place place = {0};
    struct error err = {0};
    bool ok = redis_place_parse(&place, text, &err);
    if (ok != ((place.host != NULL) != (place.socket_path != NULL)) && ok)
        abort();
    if (!ok && err.kind != ERROR_FATAL)
        abort();
    redis_place_clear(&place);
}

static void read_kafka(const uint8_t *data, size_t size)
{
    struct settings settings = {0};
    struct error err;
    rd_kafka_conf_t *conf = NULL;
    char brokers[] = "localhost:9092";
    settings.kafka_brokers = brokers;
    settings.kafka_config_file = xstrdup(write_file(data, size));
    if (kafka_config_new(&conf, &settings, (enum kafka_role)(size % 3), &err))
        rd_kafka_conf_destroy(conf);
    free(settings.kafka_config_file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char *text = xmemdup_text(data + 1, size - 1);
    switch (data[0] % 8) {
    case 0:
        parse_window(text);
        break;
    case 1:
        parse_redis(text);
        break;
    case 2:
        read_kafka(data + 1, size - 1);
        break;
    case 3:
        load_flags(data + 1, size - 1);
        break;
    default:
        load(write_file(data + 1, size - 1), 0, NULL);
    }
    free(text);
    return 0;
}
