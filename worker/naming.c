#include "worker/naming.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/utf8.h"

#define DIGEST_BYTES 28
#define MARK_DIGITS 8
#define FAILED_NAME_BYTES 200 /* of a file's own name: with the rest below the 255 of most file systems */

struct naming {
    EVP_MD *sha224;
    EVP_MD_CTX *context;
    struct buffer key;     /* what the folders were made of */
    struct buffer folders; /* of the last name; empty: none */
};

/* Without SHA-224 no name can be made, and it fails only when memory does or libcrypto is broken: as
 * xmalloc(). */
static void require(bool works)
{
    if (!works)
        abort();
}

struct naming *naming_new(void)
{
    struct naming *naming = xcalloc(1, sizeof *naming);
    naming->sha224 = EVP_MD_fetch(NULL, "SHA2-224", NULL);
    naming->context = EVP_MD_CTX_new();
    require(naming->sha224 != NULL && naming->context != NULL);
    return naming;
}

void naming_free(struct naming *naming)
{
    if (naming == NULL)
        return;
    EVP_MD_CTX_free(naming->context);
    EVP_MD_free(naming->sha224);
    buffer_clear(&naming->key);
    buffer_clear(&naming->folders);
    free(naming);
}

static void append_digest(struct naming *naming, struct buffer *out, const char *text, size_t length)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned count = 0;
    require(EVP_DigestInit_ex(naming->context, naming->sha224, NULL) == 1 &&
            EVP_DigestUpdate(naming->context, text, length) == 1 &&
            EVP_DigestFinal_ex(naming->context, digest, &count) == 1 && count == DIGEST_BYTES);
    char *place = buffer_reserve(out, 2 * (size_t)DIGEST_BYTES);
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        place[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        place[2 * i + 1] = "0123456789abcdef"[digest[i] & 0xf];
    }
    out->length += 2 * (size_t)DIGEST_BYTES;
}

/* A folder for each of the texts, which end with NUL. */
static void append_folders(struct naming *naming, struct buffer *out, const char *const *texts, size_t count)
{
    struct buffer *key = &naming->key, *folders = &naming->folders;
    size_t before = key->length;
    for (size_t i = 0; i < count; i++)
        buffer_append(key, texts[i], strlen(texts[i]) + 1);
    size_t length = key->length - before;
    bool is_known = length == before && memcmp(key->data, key->data + before, length) == 0;
    if (!is_known) {
        memmove(key->data, key->data + before, length);
        buffer_truncate(folders, 0);
        for (size_t i = 0; i < count; i++) {
            append_digest(naming, folders, texts[i], strlen(texts[i]));
            buffer_append_char(folders, '/');
        }
    }
    buffer_truncate(key, length);
    buffer_append(out, folders->data, folders->length);
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

static void append_name(struct naming *naming, struct buffer *out, const char *path,
                        const struct options *options)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    if (options->compatibility_niffler)
        append_digest(naming, out, name, without_extension(name));
    else
        append_digest(naming, out, path, strlen(path));
}

/* What tells files of one name apart. */
static void append_mark(struct naming *naming, struct buffer *out, char before, const char *path)
{
    buffer_append_char(out, before);
    append_digest(naming, out, path, strlen(path));
    buffer_truncate(out, out->length - 2 * (size_t)DIGEST_BYTES + MARK_DIGITS);
}

void naming_png_path(struct naming *naming, struct buffer *out, const char *path,
                     const struct metadata_identity *identity, const struct options *options, uint32_t frame)
{
    const char *study = identity->study_instance_uid;
    const char *series = identity->series_instance_uid;

    /* Niffler reads both UIDs in one try: where one is missing, neither is used. */
    if (options->compatibility_niffler && options->flattened_to_level == FLATTEN_SERIES &&
        (study == NULL || series == NULL))
        study = series = NULL;
    buffer_append_text(out, OUTPUTS_IMAGES "/");
    const char *patient = identity->patient_id;
    const char *texts[] = {patient != NULL ? patient : "ALL-PATIENTS", study != NULL ? study : "ALL-STUDIES",
                           series != NULL ? series : "ALL-SERIES"};
    append_folders(naming, out, texts,
                   options->flattened_to_level == FLATTEN_PATIENT  ? 1
                   : options->flattened_to_level == FLATTEN_SERIES ? 3
                                                                   : 2);
    append_name(naming, out, path, options);
    if (options->compatibility_niffler)
        append_mark(naming, out, '~', path);
    if (frame > 0)
        buffer_append_format(out, "-%04u", (unsigned)frame);
    buffer_append_text(out, ".png");
}

void naming_failed_path(struct naming *naming, struct buffer *out, const char *path, enum category category)
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
    append_mark(naming, out, '-', path);
    buffer_append_text(out, ".dcm");
}
