/* The tag walker and DCMTK read the same files: the sample data set and the corpus as they are, and many
 * copies of them that were changed where it matters. Both must give the same elements, values, character sets
 * and frames, but for the classes of differences that classes.c argues for.
 *
 *     test_differential samples SAMPLES_PROGRAM
 *     test_differential mutated SAMPLES_PROGRAM COUNT
 *     test_differential corpus FOLDER COUNT        exit status 77 where there is no such folder
 *
 * Changed files that fail are written to the folder that DIFFERENTIAL_KEEP names, if it is set. */
#include <ftw.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/alloc.h"
#include "tests/differential/compare.h"
#include "tests/differential/mutate.h"
#include "tests/differential/twin.h"

#define SEED_BYTES_MAX 12000u
#define COMPLAINTS_SHOWN 60
#define CLASSES_MAX 64
/* Seconds of DCMTK's processor time. A changed file has some kB and takes well under a millisecond. */
#define MUTATED_SECONDS 1
#define WHOLE_FILE_SECONDS 20

/* Global, since nftw() has no argument for the caller's own. */
static struct test {
    struct walker *walker;
    struct twin *twin;
    struct listing *ours;
    struct seed *seeds;
    size_t seed_count, seeds_refused;
    struct buffer *paths; /* NUL-terminated, one behind the other */
    unsigned files, declined_met;
    unsigned same, dcmtk_declined, walker_declined, crashed, complaints;
    unsigned counts[CLASSES_MAX];
    uint64_t entries;
    struct buffer reasons; /* why the walker declined, file by file */
} test;

static void complain(const char *where, const char *what)
{
    if (test.complaints++ < COMPLAINTS_SHOWN)
        printf("%s: %s\n", where, what);
}

/* ---- one file ---- */

struct outcome {
    bool walker_declines, dcmtk_declines, has_crashed, is_same;
};

static struct outcome compare_file(const char *where, const uint8_t *bytes, size_t length,
                                   unsigned cpu_seconds)
{
    struct outcome outcome = {0};
    struct buffer complaint = {0};
    unsigned before = 0, after = 0;
    test.files++;
    if (!walker_list(test.walker, bytes, length, test.ours))
        complain(where, "the list of elements is not well-formed, or not that of the walk");
    outcome.walker_declines = !test.ours->is_read;
    outcome.has_crashed = twin_list(test.twin, bytes, length, cpu_seconds) == TWIN_CRASHED;
    if (outcome.has_crashed) {
        test.crashed++;
        return outcome;
    }
    const struct listing *theirs = twin_listing(test.twin);
    outcome.dcmtk_declines = !theirs->is_read;
    test.walker_declined += outcome.walker_declines;
    if (outcome.walker_declines)
        buffer_append_format(&test.reasons, " %s", test.ours->reason);
    test.dcmtk_declined += outcome.dcmtk_declines;
    test.entries += test.ours->count;
    for (size_t i = 0; i < difference_class_count; i++)
        before += test.counts[i];
    if (outcome.walker_declines && strcmp(test.ours->reason, CODE_NOT_DICOM) == 0)
        return outcome;
    if (test.ours->is_full || theirs->is_full)
        complain(where, "too large for a listing");
    else if (!compare_listings(test.walker, test.ours, theirs, test.counts, &complaint))
        complain(where, buffer_text(&complaint));
    for (size_t i = 0; i < difference_class_count; i++)
        after += test.counts[i];
    outcome.is_same = after == before && complaint.length == 0;
    test.same += outcome.is_same;
    buffer_clear(&complaint);
    return outcome;
}

/* ---- files of a folder ---- */

static int note_path(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)place;
    if (type == FTW_F)
        buffer_append(test.paths, path, strlen(path) + 1);
    return 0;
}

static int compare_texts(const void *a, const void *b)
{
    const char *const *one = a, *const *two = b;
    return strcmp(*one, *two);
}

/* The regular files below a folder, in the order of their names. */
static const char **paths_of(const char *folder, size_t *count)
{
    test.paths->length = 0;
    *count = 0;
    if (nftw(folder, note_path, 16, FTW_PHYS) != 0)
        return NULL;
    const char **paths = xmalloc((test.paths->length + 1) * sizeof *paths);
    for (size_t at = 0; at < test.paths->length; at += strlen(test.paths->data + at) + 1)
        paths[(*count)++] = test.paths->data + at;
    qsort(paths, *count, sizeof *paths, compare_texts);
    return paths;
}

static uint8_t *read_file(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    struct stat status;
    if (file == NULL || fstat(fileno(file), &status) != 0 || (size_t)status.st_size > TWIN_FILE_BYTES) {
        fprintf(stderr, "cannot read '%s'\n", path);
        exit(3);
    }
    uint8_t *bytes = xmalloc((size_t)status.st_size + 1);
    *length = fread(bytes, 1, (size_t)status.st_size, file);
    (void)fclose(file);
    return bytes;
}

static void add_seed(const uint8_t *bytes, size_t length)
{
    test.seeds = xrealloc_array(test.seeds, test.seed_count + 1, sizeof *test.seeds);
    if (seed_make(&test.seeds[test.seed_count], bytes, length, SEED_BYTES_MAX))
        test.seed_count++;
    else
        test.seeds_refused++;
}

/* The file as a seed, and again in each other encoding that DCMTK writes it in. */
static void add_seeds(const uint8_t *bytes, size_t length)
{
    static const char *const syntaxes[] = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2",
                                           "1.2.840.10008.1.2.1.99"};
    size_t count = test.seed_count, again_length;
    add_seed(bytes, length);
    if (test.seed_count == count)
        return;
    for (size_t i = 0; i < 2 * sizeof syntaxes / sizeof *syntaxes; i++) {
        const struct seed *seed = &test.seeds[count];
        const uint8_t *again = seed->deflated ? NULL
                                              : twin_transcode(test.twin, seed->bytes, seed->length,
                                                               syntaxes[i / 2], i % 2 == 0, &again_length);
        if (again != NULL)
            add_seed(again, again_length);
    }
}

static void read_folder(const char *folder, bool as_seeds,
                        void (*check)(const char *name, const uint8_t *bytes, size_t length, struct outcome))
{
    size_t count, length;
    const char **paths = paths_of(folder, &count);
    for (size_t i = 0; i < count; i++) {
        uint8_t *bytes = read_file(paths[i], &length);
        if (check != NULL)
            check(paths[i] + strlen(folder) + 1, bytes, length,
                  compare_file(paths[i], bytes, length, WHOLE_FILE_SECONDS));
        if (as_seeds)
            add_seeds(bytes, length);
        free(bytes);
    }
    free(paths);
}

/* ---- changed files ---- */

static void compare_mutated(unsigned count)
{
    static const char *const names[MUTATIONS] = {[MUTATE_LENGTH] = "length",
                                                 [MUTATE_VR] = "VR",
                                                 [MUTATE_TAG] = "tag",
                                                 [MUTATE_SWAP] = "swap",
                                                 [MUTATE_CUT] = "cut",
                                                 [MUTATE_VALUE] = "value",
                                                 [MUTATE_DUPLICATE] = "duplicate",
                                                 [MUTATE_UNDEFINED] = "undefined",
                                                 [MUTATE_DROP] = "drop",
                                                 [MUTATE_NEST] = "nest",
                                                 [MUTATE_INSERT] = "insert",
                                                 [MUTATE_CHARSET] = "charset",
                                                 [MUTATE_TEXT] = "text",
                                                 [MUTATE_BYTE] = "byte"};
    struct dice dice = {20261123};
    struct buffer file = {0};
    char where[96];
    const char *kept = getenv("DIFFERENTIAL_KEEP");
    for (unsigned i = 0; i < count; i++) {
        const struct seed *seed = &test.seeds[dice_roll(&dice, test.seed_count)];
        enum mutation mutation = seed_mutate(seed, &dice, &file);
        unsigned complaints = test.complaints;
        (void)snprintf(where, sizeof where, "file %u (seed %zu%s%s%s, %s)", i, (size_t)(seed - test.seeds),
                       seed->implicit_vr ? ", implicit" : "", seed->big_endian ? ", big endian" : "",
                       seed->deflated ? ", deflated" : "", names[mutation]);
        (void)compare_file(where, (const uint8_t *)file.data, file.length, MUTATED_SECONDS);
        if (kept != NULL && test.complaints > complaints && complaints < COMPLAINTS_SHOWN) {
            char path[4096];
            (void)snprintf(path, sizeof path, "%s/%u.dcm", kept, i);
            FILE *out = fopen(path, "wb");
            if (out != NULL) {
                (void)fwrite(file.data, 1, file.length, out);
                (void)fclose(out);
            }
        }
    }
    buffer_clear(&file);
}

/* ---- the end ---- */

static bool tell_counts(bool is_mutated)
{
    /* What is not compared at all: one in a thousand. Of whole files the tables say which. */
    unsigned lost = test.crashed + test.walker_declined;
    bool ok = test.complaints == 0 && (!is_mutated || lost <= 10 + test.files / 1000);
    printf("%u files, %llu entries: %u the same throughout; DCMTK declined %u, the walker %u; DCMTK crashed "
           "on %u; %u differences in no class\n",
           test.files, (unsigned long long)test.entries, test.same, test.dcmtk_declined, test.walker_declined,
           test.crashed, test.complaints);
    if (test.reasons.length > 0)
        printf("the walker's reasons:%s\n", buffer_text(&test.reasons));
    buffer_clear(&test.reasons);
    if (test.seed_count > 0)
        printf("%zu seeds (%zu files were too long or no valid files)\n", test.seed_count,
               test.seeds_refused);
    for (size_t i = 0; i < difference_class_count; i++) {
        const struct difference_class *class = &difference_classes[i];
        uint64_t most = is_mutated ? (uint64_t) class->per_mille * test.files / 1000 : class->unmutated;
        bool is_many = test.counts[i] > most;
        if (test.counts[i] > 0)
            printf("%8u of at most %-8llu %s: %s%s\n", test.counts[i], (unsigned long long)most, class->name,
                   class->reason, is_many ? "  <-- TOO MANY" : "");
        ok &= !is_many;
    }
    return ok;
}

/* ---- files that a reader declines as they are ---- */

struct declined {
    const char *name;     /* its name in the samples; in the corpus the first 12 digits of its SHA-256 */
    bool walker_declines; /* as DCMTK does, always as "not_dicom"                                       */
    const char *reason;
};

static const struct declined declined_samples[] = {
    {"CUT_BEFORE_PIXELS.dcm", false, "ends before the pixel data"},
    {"CUT_IN_HEADER.dcm", false, "ends in an element"},
    {"CUT_IN_META.dcm", false, "ends in the meta header"},
    {"CUT_IN_PIXELS.dcm", false, "ends in the pixel data"},
    {"CUT_IN_PREAMBLE.dcm", true, "ends in the preamble"},
    {"CUT_LAST_BYTE.dcm", false, "ends in the pixel data"},
    {"EMPTY.dcm", true, "is empty"},
    {"NOTES.dcm", true, "is a text"},
    {"README.txt", true, "is a text"},
};
static const struct declined declined_corpus[] = {
    {"103a14700e68", false, "a bare RLE stream whose start reads like an element of group 0002"},
    {"15009ec7713d", false, "ends in an element"},
    {"16b9124ff6e8", false, "elements of the meta header without a VR"},
    {"19ed99287ca1", false, "a stray sequence delimiter"},
    {"24cf65ae8435", false, "a fragment whose length leads out of the file"},
    {"266c96c312ff", true, "\"DICM\" elsewhere than at 128"},
    {"2dc0613c79b0", false, "group length 0 in the meta header"},
    {"4125ea1263e2", false, "elements of the meta header without a VR"},
    {"50db5072fbfa", false, "ends in an element"},
    {"6b0c4b0d23de", false, "a length one byte short: mended"},
    {"6f1bf30aacd3", true, "a preamble of 127 bytes"},
    {"8742a49b7d02", false, "ends in the pixel data"},
    {"88e3bd038085", false, "a fragment whose length leads out of the file"},
    {"8d3ae70c6083", false, "a group length out of the file in the meta header"},
    {"a2e50d2bd104", true, "\"DICM\" elsewhere than at 128"},
    {"a3f26c279dd2", false, "ends in the pixel data"},
    {"b90215ff3486", false, "a length that leads out of the file: mended"},
    {"bdf292e63c30", false, "elements of the meta header with a VR that does not exist"},
    {"dbba7d995c99", true, "no \"DICM\""},
    {"e15a32e1bbfe", false, "a sequence delimiter too early"},
    {"e1642e58b0e2", false, "a length that leads out of the file: mended"},
    {"ee651253a44a", false, "a delimiter is missing"},
    {"f786cb749a99", false, "elements of the meta header with a VR that does not exist"},
    {"f84751f718fd", false, "a length that leads out of the file"},
    {"d59c4bdc4098", true, "\"DICM\" at 0"},
    {"edf6bcccd722", true, "a text"},
    {"cf2873ffefc3", true, "a text"},
    {"4db19fce062f", true, "a text"},
    {"2420940715f1", true, "a text"},
    {"8c51ac795a91", true, "a text"},
    {"840c185a1a8d", true, "a text"},
    {"fc1da8981e74", true, "a text"},
};

static void check_declined(const struct declined *table, size_t count, const char *name,
                           struct outcome outcome)
{
    const struct declined *row = NULL;
    char text[256];
    for (size_t i = 0; i < count; i++)
        if (strcmp(table[i].name, name) == 0)
            row = &table[i];
    test.declined_met += row != NULL;
    if (!outcome.has_crashed && outcome.dcmtk_declines == (row != NULL) &&
        outcome.walker_declines == (row != NULL && row->walker_declines) &&
        (!outcome.walker_declines || strcmp(test.ours->reason, CODE_NOT_DICOM) == 0))
        return;
    (void)snprintf(text, sizeof text, "DCMTK %s, the walker %s %s; in the table: %s",
                   outcome.has_crashed      ? "crashes"
                   : outcome.dcmtk_declines ? "declines"
                                            : "reads",
                   outcome.walker_declines ? "declines" : "reads", test.ours->reason,
                   row != NULL ? row->reason : "no");
    complain(name, text);
}

static void check_sample(const char *name, const uint8_t *bytes, size_t length, struct outcome outcome)
{
    const char *slash = strrchr(name, '/');
    (void)bytes;
    (void)length;
    check_declined(declined_samples, sizeof declined_samples / sizeof *declined_samples,
                   slash != NULL ? slash + 1 : name, outcome);
}

static void check_corpus_file(const char *name, const uint8_t *bytes, size_t length, struct outcome outcome)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char hex[13];
    (void)name;
    if (EVP_Digest(bytes, length, digest, NULL, EVP_sha256(), NULL) != 1)
        abort();
    for (int i = 0; i < 6; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    check_declined(declined_corpus, sizeof declined_corpus / sizeof *declined_corpus, hex, outcome);
}

/* Every file of the table must have been seen. */
static void check_met(size_t count)
{
    if (test.declined_met < count)
        complain("files in the table of declined ones", "not all of them are there");
}

/* ---- the three tests ---- */

static void make_samples(const char *program, const char *folder, const char *group)
{
    (void)fflush(NULL);
    pid_t process = fork();
    if (process == 0) {
        if (freopen("/dev/null", "w", stdout) == NULL)
            _exit(127);
        if (group == NULL)
            (void)execl(program, program, folder, "--ct", "2", (char *)NULL);
        else
            (void)execl(program, program, folder, "--only", group, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    if (process < 0 || waitpid(process, &status, 0) != process || status != 0) {
        fprintf(stderr, "cannot make the samples with '%s'\n", program);
        exit(3);
    }
}

static int remove_path(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

static bool with_samples(const char *program, unsigned mutated)
{
    char folder[] = "/tmp/niffler-test.XXXXXX";
    if (mkdtemp(folder) == NULL) {
        perror(folder);
        return false;
    }
    make_samples(program, folder, NULL);
    make_samples(program, folder, "windows");
    if (mutated == 0) {
        read_folder(folder, false, check_sample);
        check_met(sizeof declined_samples / sizeof *declined_samples);
    } else {
        read_folder(folder, true, NULL);
        compare_mutated(mutated);
    }
    (void)nftw(folder, remove_path, 16, FTW_PHYS | FTW_DEPTH);
    return tell_counts(mutated > 0);
}

static bool with_corpus(const char *folder, unsigned mutated)
{
    read_folder(folder, true, check_corpus_file);
    check_met(sizeof declined_corpus / sizeof *declined_corpus);
    bool ok = tell_counts(false);
    memset(test.counts, 0, sizeof test.counts);
    test.files = test.same = test.dcmtk_declined = test.walker_declined = test.crashed = test.complaints = 0;
    test.entries = 0;
    compare_mutated(mutated);
    return tell_counts(true) && ok;
}

static unsigned count_of(const char *text)
{
    unsigned count = (unsigned)strtoul(text, NULL, 10);
#ifdef __SANITIZE_ADDRESS__
    printf("under the sanitizers: a tenth of the %u changed files\n", count);
    count /= 10;
#endif
    return count;
}

int main(int argc, char **argv)
{
    struct buffer paths = {0};
    char corpus[4096];
    bool ok = false;
    const char *shared = getenv("NIFFLER_SHARED");
    test.walker = walker_new();
    test.twin = twin_new();
    test.ours = xmalloc(sizeof *test.ours);
    test.paths = &paths;
    if (argc == 3 && strcmp(argv[1], "samples") == 0) {
        ok = with_samples(argv[2], 0);
    } else if (argc == 4 && strcmp(argv[1], "mutated") == 0) {
        ok = with_samples(argv[2], count_of(argv[3]));
    } else if (argc == 4 && strcmp(argv[1], "corpus") == 0) {
        (void)snprintf(corpus, sizeof corpus, "%s/dicom", shared != NULL ? shared : argv[2]);
        if (access(corpus, R_OK) != 0) {
            printf("no corpus in '%s': not run\n", corpus);
            return 77;
        }
        ok = with_corpus(corpus, count_of(argv[3]));
    }
    walker_free(test.walker);
    twin_free(test.twin);
    for (size_t i = 0; i < test.seed_count; i++)
        seed_clear(&test.seeds[i]);
    free(test.seeds);
    free(test.ours);
    buffer_clear(&paths);
    return ok ? 0 : 1;
}
