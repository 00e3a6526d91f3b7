/* What a program does to its disk and to Kafka, in order: a library to be loaded before it (LD_PRELOAD),
 * which appends a line to the file that NIFFLER_EVENT_LOG names for each of these:
 *
 *     rename TO                    a file got a name
 *     synced PATH                  a file or folder is on disk
 *     syncfs-begins, syncfs-done   a file system is
 *     row                          a row is put in the table of files
 *     commit-begins, commit-done   a transaction ends
 *     sent TOPIC                   a message is given to Kafka
 *
 * The first NIFFLER_FAILING_SYNCS calls of syncfs() fail, as on a disk that could not write.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <librdkafka/rdkafka.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void note(const char *event, const char *subject)
{
    char line[4200];
    const char *path = getenv("NIFFLER_EVENT_LOG");
    int log = path != NULL ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    int length = snprintf(line, sizeof line, "%s%s%s\n", event, subject[0] != '\0' ? " " : "", subject);
    if (log < 0 || length < 0 || write(log, line, (size_t)length) != length)
        abort(); /* a log with holes would prove nothing */
    (void)close(log);
}

/* dlsym() answers with a pointer to data, which ISO C does not turn into one to a function. */
static void find(const char *name, void *function, size_t size)
{
    void *place = dlsym(RTLD_NEXT, name);
    if (place == NULL)
        abort();
    memcpy(function, &place, size);
}

/* The path of what is open, and its length. */
static size_t name_descriptor(int descriptor, char *path, size_t size)
{
    char link[64];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, size - 1);
    path[length > 0 ? length : 0] = '\0';
    return strlen(path);
}

static void note_descriptor(const char *event, int descriptor)
{
    char path[4096];
    (void)name_descriptor(descriptor, path, sizeof path);
    note(event, path);
}

int fsync(int descriptor)
{
    int (*real)(int);
    find("fsync", &real, sizeof real);
    int result = real(descriptor);
    if (result == 0)
        note_descriptor("synced", descriptor);
    return result;
}

int fdatasync(int descriptor)
{
    int (*real)(int);
    find("fdatasync", &real, sizeof real);
    int result = real(descriptor);
    if (result == 0)
        note_descriptor("synced", descriptor);
    return result;
}

int syncfs(int descriptor)
{
    int (*real)(int);
    find("syncfs", &real, sizeof real);
    note("syncfs-begins", "");
    static atomic_int calls;
    const char *failing = getenv("NIFFLER_FAILING_SYNCS");
    bool fails = failing != NULL && atomic_fetch_add(&calls, 1) < (int)strtol(failing, NULL, 10);
    int result = fails ? -1 : real(descriptor);
    if (fails)
        errno = EIO;
    else if (result == 0)
        note("syncfs-done", "");
    return result;
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    int (*real)(int, const char *, int, const char *);
    find("renameat", &real, sizeof real);
    int result = real(from_dir, from, to_dir, to);
    if (result == 0) {
        char path[4096];
        size_t length = name_descriptor(to_dir, path, sizeof path);
        (void)snprintf(path + length, sizeof path - length, "/%s", to);
        note("rename", path);
    }
    return result;
}

int sqlite3_step(sqlite3_stmt *statement)
{
    int (*real)(sqlite3_stmt *);
    find("sqlite3_step", &real, sizeof real);
    const char *sql = sqlite3_sql(statement);
    bool is_commit = sql != NULL && strcmp(sql, "COMMIT") == 0;
    bool is_row = sql != NULL && strncmp(sql, "INSERT INTO file(", strlen("INSERT INTO file(")) == 0;
    if (is_row || is_commit)
        note(is_row ? "row" : "commit-begins", "");
    int result = real(statement);
    if (is_commit && result == SQLITE_DONE)
        note("commit-done", "");
    return result;
}

int rd_kafka_produce(rd_kafka_topic_t *topic, int32_t partition, int flags, void *payload, size_t length,
                     const void *key, size_t key_length, void *context)
{
    int (*real)(rd_kafka_topic_t *, int32_t, int, void *, size_t, const void *, size_t, void *);
    find("rd_kafka_produce", &real, sizeof real);
    note("sent", rd_kafka_topic_name(topic));
    return real(topic, partition, flags, payload, length, key, key_length, context);
}
