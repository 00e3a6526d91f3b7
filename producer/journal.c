#include "producer/journal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/nolink.h"

struct journal {
    FILE *stream;
    uint64_t count;
    struct buffer line;
    char *text; /* of getline() */
    size_t text_size;
};

bool journal_create(struct journal **out, int dir, const char *path, struct error *err)
{
    *out = NULL;
    (void)nolink_unlink(dir, path, 0); /* of an earlier run */
    int descriptor = nolink_open(dir, path, O_RDWR | O_CREAT | O_EXCL, 0600);
    FILE *stream = descriptor >= 0 ? fdopen(descriptor, "w+") : NULL;
    if (stream == NULL) {
        (void)error_errno(err, ERROR_RETRY, "cannot write the journal '%s'", path);
        if (descriptor >= 0)
            (void)close(descriptor);
        return false;
    }
    struct journal *journal = xcalloc(1, sizeof *journal);
    journal->stream = stream;
    *out = journal;
    return true;
}

bool journal_keep(struct journal *journal, int dir, const char *path, const char *final, struct error *err)
{
    if (fflush(journal->stream) != 0 || fsync(fileno(journal->stream)) != 0 ||
        nolink_rename(dir, path, final) != 0)
        return error_errno(err, ERROR_RETRY, "cannot write the journal");
    return true;
}

/* Each line is a file: the count is that of the lines. */
bool journal_open(struct journal **out, int dir, const char *path, struct error *err)
{
    int descriptor = nolink_open_file(dir, path, O_RDONLY, 0);
    FILE *stream = descriptor >= 0 ? fdopen(descriptor, "r") : NULL;
    *out = NULL;
    if (stream == NULL) {
        (void)error_errno(err, ERROR_RETRY, "cannot read the journal '%s'", path);
        if (descriptor >= 0)
            (void)close(descriptor);
        return false;
    }
    struct journal *journal = xcalloc(1, sizeof *journal);
    journal->stream = stream;
    for (int c; (c = getc_unlocked(stream)) != EOF;)
        journal->count += c == '\n';
    rewind(stream);
    *out = journal;
    return true;
}

void journal_close(struct journal *journal)
{
    if (journal == NULL)
        return;
    (void)fclose(journal->stream);
    buffer_clear(&journal->line);
    free(journal->text);
    free(journal);
}

bool journal_add(struct journal *journal, uint64_t seq, const char *path, struct error *err)
{
    struct buffer *line = &journal->line;
    buffer_truncate(line, 0);
    buffer_append_u64(line, seq);
    buffer_append_char(line, ' ');
    json_append_string(line, path, strlen(path));
    buffer_append_char(line, '\n');
    if (fwrite(line->data, 1, line->length, journal->stream) != line->length)
        return error_errno(err, ERROR_RETRY, "cannot write the journal");
    journal->count++;
    return true;
}

uint64_t journal_count(const struct journal *journal)
{
    return journal->count;
}

bool journal_rewind(struct journal *journal, struct error *err)
{
    if (fflush(journal->stream) != 0 || fseeko(journal->stream, 0, SEEK_SET) != 0)
        return error_errno(err, ERROR_RETRY, "cannot write the journal");
    return true;
}

bool journal_next(struct journal *journal, uint64_t *seq, const char **path, struct error *err)
{
    *path = NULL;
    ssize_t length = getline(&journal->text, &journal->text_size, journal->stream);
    if (length < 0 && feof(journal->stream))
        return true;
    if (length < 0)
        return error_errno(err, ERROR_RETRY, "cannot read the journal");
    struct json_reader in = {.at = journal->text, .end = journal->text + length};
    *seq = json_u64(&in);
    buffer_truncate(&journal->line, 0);
    json_string(&in, &journal->line);
    if (!json_end(&in))
        return error_set(err, ERROR_FATAL, "the journal is damaged");
    *path = buffer_text(&journal->line);
    return true;
}
