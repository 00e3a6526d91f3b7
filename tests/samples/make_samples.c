/* make_samples.c: main() of niffler-png-samples, which writes the sample data set.
 *
 *     niffler-png-samples OUTPUT_FOLDER [--seed N] [--ct COUNT] [--only GROUP] [--manifest FILE]
 *     niffler-png-samples OUTPUT_FOLDER --matrix [--seed N]
 *
 * With --matrix it writes what sample_matrix.h describes instead of the data set. The group `windows` is made
 * only where it is named.
 *
 * The same seed and count give the same bytes on every machine. The manifest has a line for each file,
 * separated by tabs: path, group, what the file is, frames, and the patient's name in UTF-8 (empty where the
 * file's cannot be read). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/samples/sample_matrix.h"
#include "tests/samples/sample_set.h"

static const struct {
    const char *name;
    void (*make)(struct sample_set *set);
    const char *sentence;
    bool is_extra; /* made only where it is named */
} groups[] = {
    {"ct", sample_group_ct,
     "chest CT of 12 bits with an intercept of -1024, and a quarter as many signed slices", false},
    {"mr", sample_group_mr, "head MR of 12 bits", false},
    {"dx", sample_group_dx, "hand DX, MONOCHROME1", false},
    {"us", sample_group_us, "colour ultrasound: RGB by pixel and by plane, YBR_FULL, YBR_FULL_422, cine",
     false},
    {"palette", sample_group_palette, "PALETTE COLOR: entries of 16 and 8 bits, segmented", false},
    {"seg", sample_group_seg, "segmentation of one bit, frames that begin inside a byte", false},
    {"depth", sample_group_depth, "6 to 32 bits, signed and unsigned, float and double", false},
    {"sr", sample_group_sr, "structured report", false},
    {"text", sample_group_text, "character sets, also changing inside a sequence", false},
    {"nested", sample_group_nested, "sequences in sequences, private blocks, odd and long values", false},
    {"syntax", sample_group_syntax, "transfer syntaxes without a codec, RLE, no preamble", false},
    {"broken", sample_group_broken, "files cut short, an empty file, texts", false},
    {"windows", sample_group_windows, "windows and look-up tables of every kind, for one frame and for many",
     true},
};

static int usage(const char *complaint, const char *subject)
{
    fprintf(stderr, "niffler-png-samples: %s '%s'\n", complaint, subject);
    fputs(
        "usage: niffler-png-samples OUTPUT_FOLDER [--seed N] [--ct COUNT] [--only GROUP] [--manifest FILE]\n"
        "       niffler-png-samples OUTPUT_FOLDER --matrix [--seed N]\n"
        "groups:\n",
        stderr);
    for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++)
        fprintf(stderr, "  %-8s %s\n", groups[i].name, groups[i].sentence);
    return 2;
}

static bool parse_number(const char *text, unsigned long long largest, unsigned long long *value)
{
    char *end = NULL;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && text[0] != '-' && *value <= largest;
}

static bool is_group(const char *name)
{
    for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++)
        if (strcmp(groups[i].name, name) == 0)
            return true;
    return false;
}

static void make_all(struct sample_set *set)
{
    for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++) {
        bool is_named = set->only != NULL && strcmp(set->only, groups[i].name) == 0;
        if (!is_named && (set->only != NULL || groups[i].is_extra))
            continue;
        set->group = groups[i].name;
        groups[i].make(set);
    }
}

int main(int argc, char **argv)
{
    struct sample_set set = {.seed = 1, .ct_count = 24};
    const char *manifest = NULL;
    bool as_matrix = false;
    for (int i = 1; i < argc; i++) {
        unsigned long long number = 0;
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strncmp(argv[i], "--", 2) != 0) {
            if (set.folder != NULL)
                return usage("more than one output folder:", argv[i]);
            set.folder = argv[i];
            continue;
        }
        if (strcmp(argv[i], "--matrix") == 0) {
            as_matrix = true;
            continue;
        }
        if (strcmp(argv[i], "--seed") == 0 && parse_number(value, UINT64_MAX, &number))
            set.seed = number;
        else if (strcmp(argv[i], "--ct") == 0 && parse_number(value, 10000000, &number))
            set.ct_count = (unsigned)number;
        else if (strcmp(argv[i], "--only") == 0 && is_group(value))
            set.only = value;
        else if (strcmp(argv[i], "--manifest") == 0 && *value != '\0')
            manifest = value;
        else
            return usage("unknown option, or no such value:", argv[i]);
        i++;
    }
    if (set.folder == NULL || *set.folder == '\0')
        return usage("which folder is the output to go to?", "");
    if (manifest != NULL && (set.manifest = fopen(manifest, "we")) == NULL) {
        fprintf(stderr, "niffler-png-samples: cannot write '%s': %s\n", manifest, strerror(errno));
        return 3;
    }
    if (as_matrix)
        sample_matrix(&set);
    else
        make_all(&set);
    if (set.manifest != NULL && fclose(set.manifest) != 0) {
        fprintf(stderr, "niffler-png-samples: cannot write '%s': %s\n", manifest, strerror(errno));
        return 3;
    }
    printf("%u files in %s\n", set.written, set.folder);
    return 0;
}
