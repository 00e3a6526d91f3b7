#include "worker/naming.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/utf8.h"

#define DIGEST_BYTES 28
#define MARK_DIGITS 8
#define FAILED_NAME_BYTES 200 /* of a file's own name: with the rest below the 255 of most file systems */

static void append_digest(struct buffer *out, const char *text, size_t length)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned count = 0;

    /* Without SHA-224 no name can be made, and it fails only when memory does or libcrypto is broken: as
     * xmalloc(). */
    if (EVP_Digest(text, length, digest, &count, EVP_sha224(), NULL) != 1 || count != DIGEST_BYTES)
        abort();
    char *place = buffer_reserve(out, 2 * (size_t)DIGEST_BYTES);
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        place[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        place[2 * i + 1] = "0123456789abcdef"[digest[i] & 0xf];
    }
    out->length += 2 * (size_t)DIGEST_BYTES;
}

static void append_level(struct buffer *out, const char *value, const char *absent)
{
    const char *text = value != NULL ? value : absent;
    append_digest(out, text, strlen(text));
    buffer_append_char(out, '/');
}

/* Four characters off the end, whatever they are: Niffler's name[:-4]. Bytes that are no UTF-8 count one
 * each. */
static size_t without_extension(const char *name)
{
    size_t starts[4] = {0};
    size_t count = 0;
    for (size_t at = 0, length = strlen(name); at < length; count++) {
        size_t step = utf8_step(name + at, length - at);
        starts[count % 4] = at;
        at += step > 0 ? step : 1;
    }
    return count <= 4 ? 0 : starts[count % 4];
}

static void append_name(struct buffer *out, const char *path, const struct options *options)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    if (options->compatibility_niffler)
        append_digest(out, name, without_extension(name));
    else
        append_digest(out, path, strlen(path));
}

/* What tells files of one name apart. */
static void append_mark(struct buffer *out, char before, const char *path)
{
    buffer_append_char(out, before);
    append_digest(out, path, strlen(path));
    buffer_truncate(out, out->length - 2 * (size_t)DIGEST_BYTES + MARK_DIGITS);
}

void naming_png_path(struct buffer *out, const char *path, const struct metadata_identity *identity,
                     const struct options *options, uint32_t frame)
{
    const char *study = identity->study_instance_uid;
    const char *series = identity->series_instance_uid;

    /* Niffler reads both UIDs in one try: where one is missing, neither is used. */
    if (options->compatibility_niffler && options->flattened_to_level == FLATTEN_SERIES &&
        (study == NULL || series == NULL))
        study = series = NULL;
    buffer_append_text(out, OUTPUTS_IMAGES "/");
    append_level(out, identity->patient_id, "ALL-PATIENTS");
    if (options->flattened_to_level != FLATTEN_PATIENT)
        append_level(out, study, "ALL-STUDIES");
    if (options->flattened_to_level == FLATTEN_SERIES)
        append_level(out, series, "ALL-SERIES");
    append_name(out, path, options);
    if (options->compatibility_niffler)
        append_mark(out, '~', path);
    if (frame > 0)
        buffer_append_format(out, "-%04u", (unsigned)frame);
    buffer_append_text(out, ".png");
}

void naming_failed_path(struct buffer *out, const char *path, enum category category)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    size_t length = strlen(name);
    if (length > 4 && strcasecmp(name + length - 4, ".dcm") == 0)
        length -= 4;
    if (length > FAILED_NAME_BYTES)
        length = FAILED_NAME_BYTES;
    buffer_append_format(out, OUTPUTS_FAILED "/%d/", (int)category);
    buffer_append(out, name, length);
    append_mark(out, '-', path);
    buffer_append_text(out, ".dcm");
}
