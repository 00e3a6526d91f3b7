/* json.h: JSON text (RFC 8259) written straight into a buffer, and read by a strict pull parser.
 *
 * For the messages between the roles, of which there is one per file: a tree of values costs twenty times as
 * much. (config.json, which a person writes, is jansson's.)
 *
 * Paths may hold bytes that are not UTF-8. Such a byte b is written as the lone surrogate \udc00 + b and read
 * back as b, as Python's "surrogateescape" does, so that a message is valid JSON and any path survives it. */
#ifndef NIFFLER_COMMON_JSON_H
#define NIFFLER_COMMON_JSON_H

#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"

/* Append a quoted string. */
void json_append_string(struct buffer *out, const char *text, size_t length);

/* Append a number that reads back as the same double. NaN and infinities, which JSON lacks, become null. */
void json_append_double(struct buffer *out, double value);

/* A reader: every function moves it forward, or sets `failed`, after which all return false or zero and
 * change nothing. So a whole message is read first, and `failed` is asked once.
 *
 *     struct json_reader in = {text, text + length};
 *     json_enter(&in, '{');
 *     while (json_more(&in, '}')) {
 *         char key[32];
 *         json_key(&in, key, sizeof key);
 *         if (strcmp(key, "seq") == 0) seq = json_u64(&in); else json_skip(&in);
 *     }
 *     if (!json_end(&in)) … malformed …                                                       */
struct json_reader {
    const char *at;
    const char *end;
    bool failed;
    bool first; /* nothing of the innermost object or array was read yet */
};

void json_enter(struct json_reader *in, char open);
bool json_more(struct json_reader *in, char close);            /* false: closed, or failed */
void json_key(struct json_reader *in, char *key, size_t size); /* an overlong key comes out empty */
void json_string(struct json_reader *in,
                 struct buffer *out); /* appended, without NUL at the end; a NUL inside fails */
size_t json_string_nul(struct json_reader *in,
                       struct buffer *out); /* the same with its NUL; returns its offset in `out` */
uint64_t json_u64(struct json_reader *in);
uint64_t json_u64_max(struct json_reader *in, uint64_t maximum); /* a larger one fails */
int64_t json_i64(struct json_reader *in);
double json_double(struct json_reader *in); /* null: 0 */
bool json_bool(struct json_reader *in);
void json_skip(struct json_reader *in);           /* one value of any kind, nested at most 64 deep */
MUST_CHECK bool json_end(struct json_reader *in); /* whether all was read and well-formed */

#endif
