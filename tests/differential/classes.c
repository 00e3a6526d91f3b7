/* The classes of differences, and why neither side is wrong. */
#include <string.h>

#include "common/dictionary.h"
#include "tests/differential/compare.h"
#include "worker/decoder/dicom/dicom_walk.h"

#define MENDS_MOST 8              /* of dicom_mend() */
#define CHARSET_PAGE_JIS_X0201 11 /* of charset.c */
#define KIND(name) (1u << DIFFERENT_##name)

/* DCMTK reports a failure, and all that it read before has been met. */
static bool has_stopped(const struct comparison *cmp, const struct difference *difference)
{
    return !cmp->theirs->is_read && difference->their_unmatched == 0;
}

/* The same, in the middle of an element: its value, or what is in it, is not whole. */
static bool has_stopped_inside(const struct comparison *cmp, const struct difference *difference)
{
    const struct listed *theirs = difference->theirs;
    return has_stopped(cmp, difference) && (theirs == &cmp->theirs->entries[cmp->theirs->count - 1] ||
                                            theirs->value.length < theirs->promised);
}

/* A length of a sequence or an item that ends inside of what is in it: like pydicom the walker keeps to the
 * outer length and says "cut"; DCMTK goes on with the inner one. */
static bool is_overlong(const struct comparison *cmp, const struct difference *difference)
{
    const struct listed *ours = difference->ours;
    if (difference->kind == DIFFERENT_VALUE && ours->value.length >= ours->promised)
        return false;
    if (difference->kind == DIFFERENT_ITEMS && ours->kind != LISTED_SEQUENCE)
        return false;
    return cmp->ours->is_cut;
}

/* Two letters, or anything else, where a VR should stand: pydicom and the walker take the one for a VR with a
 * short length and the other for an element in implicit VR, DCMTK the rest of the data set for implicit VR.
 */
static bool has_unknown_vr(const struct comparison *cmp, const struct difference *difference)
{
    char vr[2];
    if (cmp->is_implicit || !compare_raw_vr(cmp, difference->ours, vr))
        return false;
    return !dicom_is_known_vr((const uint8_t *)vr);
}

/* DCMTK guesses the byte order by the first tag, whatever the transfer syntax says: they part at once. */
static bool has_strange_start(const struct comparison *cmp, const struct difference *difference)
{
    return difference->their_unmatched + 1 >= cmp->theirs->count;
}

/* In implicit VR, tags that our dictionary has not: retired groups that repeat, and what is newer. */
static bool is_not_in_dictionary(const struct comparison *cmp, const struct difference *difference)
{
    uint32_t group = difference->ours->tag >> 16;
    bool is_curve_or_overlay = (group >> 8 == 0x50 || group >> 8 == 0x60) && (group & 0xff) <= 0x1e;
    (void)cmp;
    return memcmp(difference->ours->vr, "UN", 2) == 0 && dictionary_find(difference->ours->tag) == NULL &&
           group % 2 == 0 && !is_curve_or_overlay;
}

/* A sequence of defined length ends in an item that has no delimiter: DCMTK takes what is behind it for more
 * of the item, the walker and pydicom do not. */
static bool is_undelimited(const struct comparison *cmp, const struct difference *difference)
{
    const struct listed *theirs = difference->theirs;
    for (uint32_t i = 0; i < cmp->ours->count; i++) {
        const struct listed *ours = &cmp->ours->entries[i];
        if (ours->tag == theirs->tag && ours->kind == theirs->kind && ours->depth < theirs->depth &&
            ours->promised == theirs->promised)
            return true;
    }
    return false;
}

/* A SpecificCharacterSet that DCMTK has not: it keeps the first of two, and none behind the place where it
 * stops. */
static bool has_other_charset(const struct comparison *cmp, const struct difference *difference)
{
    uint32_t ours = 0, theirs = 0;
    (void)difference;
    for (uint32_t i = 0; i < cmp->ours->count; i++)
        ours += cmp->ours->entries[i].tag == TAG_SPECIFIC_CHARACTER_SET;
    for (uint32_t i = 0; i < cmp->theirs->count; i++)
        theirs += cmp->theirs->entries[i].tag == TAG_SPECIFIC_CHARACTER_SET;
    return ours > theirs;
}

/* An item's delimiter before an element of the data set itself, directly or with others between. */
static bool is_behind_delimiter(const struct comparison *cmp, const struct difference *difference)
{
    static const uint8_t tags[][4] = {{0xfe, 0xff, 0x0d, 0xe0}, {0xff, 0xfe, 0xe0, 0x0d},
                                      {0xfe, 0xff, 0xdd, 0xe0}, {0xff, 0xfe, 0xe0, 0xdd},
                                      {0xfe, 0xff, 0x00, 0xe0}, {0xff, 0xfe, 0xe0, 0x00}};
    uint64_t at = difference->ours->header;
    if (!cmp->theirs->is_read || difference->their_unmatched > 0 || difference->ours->depth > 0)
        return false;
    for (unsigned i = 0; i < 4 && at >= 8; i++, at -= 8) {
        size_t kind = cmp->is_big_endian ? 1 : 0;
        while (kind < 6 && memcmp(cmp->source + at - 8, tags[kind], 4) != 0)
            kind += 2;
        if (kind >= 6)
            return false;
        if (kind < 2)
            return true;
    }
    return false;
}

/* In an item whose first element has no VR the walker takes what looks like one for the length. */
static bool is_implicit_item(const struct comparison *cmp, const struct difference *difference)
{
    char vr[2];
    const struct listed *ours = difference->ours;
    return !cmp->is_implicit && ours->depth > 0 && compare_raw_vr(cmp, ours, vr) &&
           dicom_is_known_vr((const uint8_t *)vr) &&
           (ours->promised & 0xffff) ==
               ((unsigned)(unsigned char)vr[0] | (unsigned)(unsigned char)vr[1] << 8);
}

/* A transfer syntax is given twice, the second time as something that is none. */
static bool has_two_syntaxes(const struct comparison *cmp, const struct difference *difference)
{
    static const char root[] = "1.2.840.10008.1.2";
    (void)difference;
    return strncmp(cmp->ours->syntax, root, sizeof root - 1) != 0 &&
           strncmp(cmp->theirs->syntax, root, sizeof root - 1) == 0;
}

/* In implicit VR, undefined length without an item: only an item or the dictionary tells a sequence. */
static bool is_empty_unknown(const struct comparison *cmp, const struct difference *difference)
{
    (void)cmp;
    return difference->theirs->kind == LISTED_SEQUENCE && difference->ours->is_undefined &&
           difference->ours->promised == 0 && memcmp(difference->ours->vr, "UN", 2) == 0;
}

static bool has_invalid_tag(const struct comparison *cmp, const struct difference *difference)
{
    (void)difference;
    return strcmp(cmp->theirs->reason, "Invalid tag") == 0;
}

/* UN that the dictionary makes a number of. */
static bool is_unknown_exchanged(const struct comparison *cmp, const struct difference *difference)
{
    char vr[2];
    return cmp->is_big_endian && compare_raw_vr(cmp, difference->ours, vr) && memcmp(vr, "UN", 2) == 0 &&
           memcmp(difference->ours->vr, "UN", 2) != 0;
}

static bool is_shift_jis(const struct comparison *cmp, const struct difference *difference)
{
    (void)cmp;
    return (difference->ours->charset & 0xff) == CHARSET_PAGE_JIS_X0201;
}

static bool is_repeated(const struct comparison *cmp, const struct difference *difference)
{
    (void)cmp;
    return difference->ours != NULL;
}

static bool is_padded(const struct comparison *cmp, const struct difference *difference)
{
    (void)cmp;
    return difference->ours->promised % 2 != 0 &&
           difference->theirs->promised == difference->ours->promised + 1;
}

static bool has_no_charset(const struct comparison *cmp, const struct difference *difference)
{
    (void)cmp;
    return difference->theirs->charset == LISTED_CHARSET_ABSENT;
}

static bool has_unknown_charset(const struct comparison *cmp, const struct difference *difference)
{
    (void)cmp;
    return difference->theirs->charset == LISTED_CHARSET_UNKNOWN;
}

static bool is_refused_by_both(const struct comparison *cmp, const struct difference *difference)
{
    (void)cmp;
    return difference->theirs->charset == LISTED_CHARSET_REFUSED && !difference->ours->has_text;
}

/* VRs that the dictionary leaves open, in implicit VR or for UN: the bytes are the same. */
static bool is_chosen(const struct comparison *cmp, const struct difference *difference)
{
    (void)cmp;
    return difference->ours->is_chosen && strchr("US SS OW OB", difference->theirs->vr[0]) != NULL;
}

static bool is_encapsulated(const struct comparison *cmp, const struct difference *difference)
{
    (void)cmp;
    return difference->ours->is_bulk && difference->ours->is_undefined && difference->theirs->is_undefined &&
           memcmp(difference->ours->vr, "OW", 2) == 0 && memcmp(difference->theirs->vr, "OB", 2) == 0;
}

static bool is_unknown_kept(const struct comparison *cmp, const struct difference *difference)
{
    char vr[2];
    return compare_raw_vr(cmp, difference->ours, vr) && memcmp(vr, "UN", 2) == 0 &&
           memcmp(difference->ours->vr, "UN", 2) == 0 &&
           (difference->ours->promised >= 0xffff || (difference->ours->tag >> 16 & 1) != 0);
}

/* dicom_mend() has found the pixel data behind an element that leads DCMTK out of the file: that element is
 * the only one of DCMTK's that was not met. */
static bool is_mended(const struct comparison *cmp, const struct difference *difference)
{
    return cmp->ours->is_mended && (difference->kind == DIFFERENT_MISSING ||
                                    (!cmp->theirs->is_read && difference->their_unmatched <= MENDS_MOST));
}

static bool is_ascii_only(const struct comparison *cmp, const struct difference *difference)
{
    const struct listed_bytes raw = difference->theirs->value;
    bool is_high = false;
    for (uint64_t i = 0; i < raw.length; i++)
        is_high |= cmp->theirs->heap[raw.at + i] >= 0x80;
    return difference->theirs->charset == LISTED_CHARSET_REFUSED && (difference->ours->charset & 0xff) == 0 &&
           is_high;
}

/* Whether "IR n" stands in a SpecificCharacterSet. */
static bool declares(const char *charset, uint64_t length, const char *number)
{
    size_t digits = strlen(number);
    for (uint64_t i = 3; i + digits <= length; i++)
        if (memcmp(charset + i - 3, "IR ", 3) == 0 && memcmp(charset + i, number, digits) == 0 &&
            (i + digits == length || charset[i + digits] < '0'))
            return true;
    return false;
}

/* A code extension that the character set does not declare (PS3.3 C.12.1.1.2), or none at all. */
static bool has_undeclared_escape(const struct comparison *cmp, const struct difference *difference)
{
    static const struct {
        const char *code, *number;
    } escapes[] = {{"(B", "6"},    {"(J", "13"},  {")I", "13"},   {"$B", "87"},  {"$@", "87"},
                   {"$(D", "159"}, {"-A", "100"}, {"-B", "101"},  {"-C", "109"}, {"-D", "110"},
                   {"-F", "126"},  {"-G", "127"}, {"-H", "138"},  {"-L", "144"}, {"-M", "148"},
                   {"-T", "166"},  {"-b", "203"}, {"$)C", "149"}, {"$)A", "58"}};
    const struct listed *theirs = difference->theirs;
    const char *raw = (const char *)cmp->theirs->heap + theirs->value.at;
    const char *charset = (const char *)cmp->theirs->heap + theirs->charset_text.at;
    for (uint64_t i = 0; i < theirs->value.length; i++) {
        if (raw[i] != 0x1b)
            continue;
        bool is_declared = false;
        for (size_t k = 0; k < sizeof escapes / sizeof *escapes; k++) {
            size_t length = strlen(escapes[k].code);
            is_declared |= length < theirs->value.length - i &&
                           memcmp(raw + i + 1, escapes[k].code, length) == 0 &&
                           (k == 0 || declares(charset, theirs->charset_text.length, escapes[k].number)) &&
                           memchr(charset, '\\', theirs->charset_text.length) != NULL;
        }
        if (!is_declared)
            return true;
    }
    return false;
}

const struct difference_class difference_classes[] = {
    {"mended", "the walker finds the pixel data behind a wrong length that leads DCMTK out of the file", true,
     KIND(MISSING) | KIND(EXTRA) | KIND(KIND) | KIND(VALUE) | KIND(LENGTH), is_mended, 250, 3},
    {"dcmtk_stopped", "DCMTK refuses the rest of a file that is read on as pydicom does", true,
     KIND(SYNTAX) | KIND(MISSING) | KIND(ITEMS) | KIND(OUTCOME), has_stopped, 220, 14},
    {"dcmtk_stopped_inside", "DCMTK refuses an element in the middle", true,
     KIND(VALUE) | KIND(LENGTH) | KIND(KIND) | KIND(VR) | KIND(FRAGMENT), has_stopped_inside, 150, 7},
    {"overlong", "the walker keeps to a sequence's length and says cut, DCMTK reads on", true,
     KIND(EXTRA) | KIND(VALUE) | KIND(ITEMS), is_overlong, 13, 0},
    {"unknown_vr", "no VR where one should stand: the readers guess differently what the length is", true,
     KIND(MISSING) | KIND(VR) | KIND(LENGTH) | KIND(VALUE), has_unknown_vr, 13, 0},
    {"strange_start", "DCMTK guesses the byte order by the first tag", true, KIND(MISSING), has_strange_start,
     4, 0},
    {"not_in_dictionary", "tags that our dictionary has not are UN in implicit VR", false, KIND(VR),
     is_not_in_dictionary, 2, 0},
    {"undelimited", "an item without delimiter ends with its sequence, for DCMTK behind it", true,
     KIND(EXTRA), is_undelimited, 2, 0},
    {"other_charset", "DCMTK keeps the first SpecificCharacterSet of a data set, or stopped before it", false,
     KIND(TEXT) | KIND(NO_TEXT) | KIND(MARKED), has_other_charset, 2, 0},
    {"stray_delimiter", "a stray delimiter of an item makes an end of the data set for DCMTK", true,
     KIND(MISSING), is_behind_delimiter, 2, 0},
    {"invalid_tag", "DCMTK refuses the tag of an item or a delimiter where an element should stand", true,
     KIND(MISSING) | KIND(EXTRA), has_invalid_tag, 2, 0},
    {"unknown_exchanged",
     "the bytes of UN in big endian are exchanged for the VR of the dictionary, as by pydicom", false,
     KIND(VALUE), is_unknown_exchanged, 2, 0},
    {"two_syntaxes", "of two transfer syntaxes pydicom and the walker go by the last", true, KIND(SYNTAX),
     has_two_syntaxes, 2, 0},
    {"empty_unknown", "undefined length without an item is UN, as for pydicom, where the tag is not known",
     false, KIND(KIND), is_empty_unknown, 2, 0},
    {"not_in_dictionary_sequence", "the same, of sequences: DCMTK looks into them", true, KIND(KIND),
     is_not_in_dictionary, 2, 0},
    {"implicit_item", "an item that begins in implicit VR is in implicit VR throughout, as for pydicom", true,
     KIND(LENGTH) | KIND(VR) | KIND(MISSING), is_implicit_item, 2, 0},
    {"shift_jis", "DCMTK takes ISO_IR 13 for Shift JIS: pairs, where JIS X 0201 has none", false,
     KIND(MARKED) | KIND(TEXT), is_shift_jis, 2, 0},
    {"repeated", "DCMTK keeps the first element of a tag, the walker all of them, in file order", false,
     KIND(REPEATED), is_repeated, 150, 156},
    {"odd_length", "DCMTK pads a text of odd length", false, KIND(LENGTH), is_padded, 8, 1},
    {"no_charset", "without SpecificCharacterSet DCMTK converts nothing; read as ISO 8859-1, as pydicom does",
     false, KIND(NO_TEXT), has_no_charset, 60, 1},
    {"unknown_charset", "DCMTK does not know the character set; read as ISO 8859-1, as pydicom does", false,
     KIND(NO_TEXT), has_unknown_charset, 60, 9},
    {"chosen_vr", "the dictionary leaves the VR open; DCMTK does not choose by PixelRepresentation", false,
     KIND(VR), is_chosen, 5, 3},
    {"encapsulated_ow", "DCMTK calls encapsulated pixel data OB whatever the file says", false, KIND(VR),
     is_encapsulated, 12, 21},
    {"unknown_kept", "UN of a private element, or of more than 65534 bytes, stays UN as in pydicom", false,
     KIND(VR), is_unknown_kept, 3, 4},
    {"ascii_only", "ISO 646 has no bytes above 127: read as ISO 8859-1, as pydicom does", false,
     KIND(NO_TEXT), is_ascii_only, 20, 1},
    {"undeclared_escape", "DCMTK does not follow code extensions that SpecificCharacterSet does not declare",
     false, KIND(NO_TEXT) | KIND(TEXT) | KIND(MARKED), has_undeclared_escape, 8, 0},
    {"unconvertible", "DCMTK refuses the text, the walker marks it", false, KIND(NO_TEXT), is_refused_by_both,
     25, 1},
};
const size_t difference_class_count = sizeof difference_classes / sizeof difference_classes[0];
