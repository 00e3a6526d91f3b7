/* sample_text.c: what makes metadata hard: character sets, structured reports, sequences in sequences,
 * private blocks, values of odd shapes. */
#include "tests/samples/sample_set.h"

#include <string.h>

/* Names as their bytes in the file, and as UTF-8. The escape sequences are those of PS3.3 Table C.12-3 and
 * C.12-4, and each component group and component begins in the default set again (PS3.5 Section 6.1.2.5.3).
 */
static const struct {
    const char *character_set;
    const char *utf8;
    const char *bytes;
} names[] = {
    /* clang-format off */
    {"ISO_IR 100", "Müßig^Jürgen",
     "M\xfc\xdfig^J\xfcrgen"},
    {"ISO_IR 101", "Żądło^Łucja",
     "\xaf\xb1""d\xb3o^\xa3ucja"},
    {"ISO_IR 109", "Ħaġar^Ġorġ",
     "\xa1""a\xf5""ar^\xd5or\xf5"},
    {"ISO_IR 110", "Ķirsis^Jānis",
     "\xd3irsis^J\xe0nis"},
    {"ISO_IR 144", "Выдумкина^Анна",
     "\xb2\xeb\xd4\xe3\xdc\xda\xd8\xdd\xd0^\xb0\xdd\xdd\xd0"},
    {"ISO_IR 127", "خيالي^نور",
     "\xce\xea\xc7\xe4\xea^\xe6\xe8\xd1"},
    {"ISO_IR 126", "Φανταστική^Μαρία",
     "\xd6\xe1\xed\xf4\xe1\xf3\xf4\xe9\xea\xde^\xcc\xe1\xf1\xdf\xe1"},
    {"ISO_IR 138", "בדוי^נועה",
     "\xe1\xe3\xe5\xe9^\xf0\xe5\xf2\xe4"},
    {"ISO_IR 148", "Düşsel^Çağrı",
     "D\xfc\xfesel^\xc7""a\xf0r\xfd"},
    {"ISO_IR 166", "สมมติ^ใจดี",
     "\xca\xc1\xc1\xb5\xd4^\xe3\xa8\xb4\xd5"},
    {"ISO_IR 192", "Ковальчук^Zoë=王^小明",
     "\xd0\x9a\xd0\xbe\xd0\xb2\xd0\xb0\xd0\xbb\xd1\x8c\xd1\x87\xd1\x83\xd0\xba^Zo\xc3\xab=\xe7\x8e\x8b^\xe5\xb0\x8f\xe6\x98\x8e"},
    {"GB18030", "Wang^XiaoDong=王^小东",
     "Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab"},
    {"GBK", "Li^Na=李^娜",
     "Li^Na=\xc0\xee^\xc4\xc8"},
    {"ISO_IR 13", "ｻﾄｳ^ﾊﾅｺ",
     "\xbb\xc4\xb3^\xca\xc5\xba"},
    {"ISO 2022 IR 13\\ISO 2022 IR 87", "ｻﾄｳ^ﾊﾅｺ=佐藤^花子=さとう^はなこ",
     "\xbb\xc4\xb3^\xca\xc5\xba=\x1b$B:4F#\x1b(J^\x1b$B2V;R\x1b(J=\x1b$B$5$H$&\x1b(J^\x1b$B$O$J$3\x1b(J"},
    {"\\ISO 2022 IR 87", "Sato^Hanako=佐藤^花子=さとう^はなこ",
     "Sato^Hanako=\x1b$B:4F#\x1b(B^\x1b$B2V;R\x1b(B=\x1b$B$5$H$&\x1b(B^\x1b$B$O$J$3\x1b(B"},
    {"\\ISO 2022 IR 149", "Ga^Sang=假^想=가^상",
     "Ga^Sang=\x1b$)C\xca\xa3^\x1b$)C\xdf\xcc=\x1b$)C\xb0\xa1^\x1b$)C\xbb\xf3"},
    {"\\ISO 2022 IR 58", "Zhang^Wei=张^伟",
     "Zhang^Wei=\x1b$)A\xd5\xc5^\x1b$)A\xce\xb0"},
    {"\\ISO 2022 IR 144", "Vydumkin^Oleg=Выдумкин^Олег",
     "Vydumkin^Oleg=\x1b-L\xb2\xeb\xd4\xe3\xdc\xda\xd8\xdd^\x1b-L\xbe\xdb\xd5\xd3"},
    /* clang-format on */
};

static const struct sample_patient elif = {"PAT0005",  "Ornek^Elif", "Ornek^Elif", "FIC-0005",
                                           "19870712", "F",          "037Y"};

/* A small picture with an arrow, so that it has an up and a left. */
static void put_arrow(struct dataset *ds)
{
    struct canvas arrow;
    canvas_init(&arrow, 48, 64, 30);
    canvas_rectangle(&arrow, 12, 20, 30, 8, 220);
    for (int32_t i = 0; i < 14; i++)
        canvas_rectangle(&arrow, 40 + i, 10 + i, 1, 28 - 2 * i, 220);
    canvas_rectangle(&arrow, 2, 2, 4, 4, 140);
    dataset_put_text(ds, TAG(0x0008, 0x0064), "CS", "SYN");
    struct sample_pixels pixels = {48, 64, 1, 8, 8, false, "MONOCHROME2", 0, 0};
    sample_put_canvas(ds, &pixels, &arrow);
    canvas_clear(&arrow);
}

static struct sample_series secondary_capture(const struct sample_patient *patient, const char *study,
                                              const char *series)
{
    return (struct sample_series){patient,          study,    series,  "OT",       SAMPLE_SC,
                                  "Test of values", "Values", "CHEST", "20240801", 1};
}

/* The character set changes inside sequence items, and is inherited where an item names none (PS3.5
 * Section 7.5.3). */
static void write_mixed_character_sets(struct sample_set *set, unsigned instance)
{
    struct sample_patient patient = elif;
    patient.folder = "PAT0006";
    patient.name = patient.name_utf8 = "Ковальчук^Zoë";
    const struct sample_series series = secondary_capture(&patient, "OT_CHARACTER_SETS", "S0002_IN_ITEMS");
    struct dataset *ds = sample_new(set, &series, instance);
    put_arrow(ds);
    dataset_put_text(ds, TAG(0x0008, 0x0005), "CS", "ISO_IR 192");
    dataset_put_text(ds, TAG(0x0010, 0x4000), "LT", "UTF-8 outside: Żółć, 王");

    struct dataset *cyrillic = dataset_add_item(ds, TAG(0x0040, 0x0275));
    dataset_put_text(cyrillic, TAG(0x0008, 0x0005), "CS", "ISO_IR 144");
    dataset_put_text(cyrillic, TAG(0x0032, 0x1060), "LO", "\xb3\xe0\xe3\xd4\xec"); /* Грудь */
    struct dataset *latin = dataset_add_item(cyrillic, TAG(0x0040, 0x0008));
    dataset_put_text(latin, TAG(0x0008, 0x0005), "CS", "ISO_IR 100");
    dataset_put_text(latin, TAG(0x0008, 0x0100), "SH", "R\xf6");
    dataset_put_text(latin, TAG(0x0008, 0x0102), "SH", "99INVENTED");
    dataset_put_text(latin, TAG(0x0008, 0x0104), "LO", "R\xf6ntgen"); /* Röntgen */
    struct dataset *inherited = dataset_add_item(cyrillic, TAG(0x0040, 0x0008));
    dataset_put_text(inherited, TAG(0x0008, 0x0100), "SH", "S2");
    dataset_put_text(inherited, TAG(0x0008, 0x0102), "SH", "99INVENTED");
    dataset_put_text(inherited, TAG(0x0008, 0x0104), "LO", "\xc8\xd0\xd3"); /* Шаг */
    struct dataset *outside = dataset_add_item(ds, TAG(0x0040, 0x0275));
    dataset_put_text(outside, TAG(0x0032, 0x1060), "LO", "Грудь");
    sample_write(set, &series, instance, ds, SAMPLE_EXPLICIT_LITTLE);
}

/* Bytes that the named character set does not have, and a set that nobody has. */
static void write_wrong_character_sets(struct sample_set *set)
{
    struct sample_patient patient = elif;
    patient.folder = "PAT0006";
    patient.name = "Broken^\xff\xfe\x80";
    patient.name_utf8 = "";
    const struct sample_series series = secondary_capture(&patient, "OT_CHARACTER_SETS", "S0003_WRONG");
    static const char *const sets[] = {"ISO_IR 192", "ISO_IR 6", "ISO_IR 9999", ""};
    for (unsigned i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
        struct dataset *ds = sample_new(set, &series, i + 1);
        put_arrow(ds);
        dataset_put_text(ds, TAG(0x0008, 0x0005), "CS", sets[i]);
        sample_write(set, &series, i + 1, ds, SAMPLE_EXPLICIT_LITTLE);
    }
}

void sample_group_text(struct sample_set *set)
{
    for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
        struct sample_patient patient = {"PAT0006", names[i].bytes, names[i].utf8, "FIC-0006", "19700101",
                                         "O",       "054Y"};
        const struct sample_series series = secondary_capture(&patient, "OT_CHARACTER_SETS", "S0001_NAMES");
        struct dataset *ds = sample_new(set, &series, i + 1);
        put_arrow(ds);
        dataset_put_text(ds, TAG(0x0008, 0x0005), "CS", names[i].character_set);
        if (strcmp(names[i].character_set, "GB18030") == 0) /* 乗: its second byte is that of a backslash */
            dataset_put_text(ds, TAG(0x0010, 0x4000), "LT", "\x81\x5c");
        sample_write(set, &series, i + 1, ds, SAMPLE_EXPLICIT_LITTLE);
    }
    write_mixed_character_sets(set, 1);
    write_wrong_character_sets(set);
}

static struct dataset *add_content(struct dataset *parent, const char *relationship, const char *type,
                                   const char *code, const char *meaning)
{
    struct dataset *item = dataset_add_item(parent, TAG(0x0040, 0xA730));
    dataset_put_text(item, TAG(0x0040, 0xA010), "CS", relationship);
    dataset_put_text(item, TAG(0x0040, 0xA040), "CS", type);
    sample_put_code(item, TAG(0x0040, 0xA043), code, "DCM", meaning);
    return item;
}

void sample_group_sr(struct sample_set *set)
{
    const struct sample_series series = {
        &elif,    "SR_REPORT_20240802", "S0001_REPORT", "SR",       SAMPLE_SR,
        "Report", "Basic text",         "CHEST",        "20240802", 1};
    struct dataset *ds = sample_new(set, &series, 1);
    dataset_put_sequence(ds, TAG(0x0008, 0x1111));
    dataset_put_text(ds, TAG(0x0040, 0xA040), "CS", "CONTAINER");
    sample_put_code(ds, TAG(0x0040, 0xA043), "18748-4", "LN", "Diagnostic imaging study");
    dataset_put_text(ds, TAG(0x0040, 0xA050), "CS", "SEPARATE");
    dataset_put_sequence(ds, TAG(0x0040, 0xA372));
    dataset_put_text(ds, TAG(0x0040, 0xA491), "CS", "COMPLETE");
    dataset_put_text(ds, TAG(0x0040, 0xA493), "CS", "UNVERIFIED");
    struct dataset *observer = add_content(ds, "HAS OBS CONTEXT", "PNAME", "121008", "Person Observer Name");
    dataset_put_text(observer, TAG(0x0040, 0xA123), "PN", "Reader^Rosa");
    struct dataset *findings = add_content(ds, "CONTAINS", "CONTAINER", "121070", "Findings");
    dataset_put_text(findings, TAG(0x0040, 0xA050), "CS", "SEPARATE");
    struct dataset *finding = add_content(findings, "CONTAINS", "TEXT", "121071", "Finding");
    dataset_put_text(finding, TAG(0x0040, 0xA160), "UT",
                     "An invented finding, with a comma, \"quotes\"\r\nand a second line; gr\xf6\xdf"
                     "er than before.");
    struct dataset *impression = add_content(ds, "CONTAINS", "TEXT", "121073", "Impression");
    dataset_put_text(impression, TAG(0x0040, 0xA160), "UT", "Nothing here is real.");
    sample_write(set, &series, 1, ds, SAMPLE_EXPLICIT_LITTLE);
}

/* Levels of sequences; every second one with undefined lengths. */
static void put_levels(struct dataset *ds, unsigned levels)
{
    struct dataset *parent = ds;
    for (unsigned level = 1; level <= levels; level++) {
        struct dataset *item = dataset_add_item(parent, TAG(0x0040, 0xA730));
        dataset_put_format(item, TAG(0x0040, 0xA160), "UT", "level %u", level);
        dataset_put_text(item, TAG(0x0040, 0xA040), "CS", "TEXT");
        if (level % 2 == 0) {
            dataset_undefined_sequence(parent, TAG(0x0040, 0xA730));
            dataset_undefined_item(item);
        }
        struct dataset *sibling = dataset_add_item(parent, TAG(0x0040, 0xA730));
        dataset_put_format(sibling, TAG(0x0040, 0xA160), "UT", "beside level %u", level);
        parent = item;
    }
}

static void put_empty_sequences(struct dataset *ds)
{
    dataset_put_sequence(ds, TAG(0x0008, 0x1110)); /* length 0 */
    dataset_put_sequence(ds, TAG(0x0008, 0x1120)); /* undefined length, nothing but a delimiter */
    dataset_undefined_sequence(ds, TAG(0x0008, 0x1120));
    (void)dataset_add_item(ds, TAG(0x0008, 0x1140)); /* an item without elements, defined */
    dataset_undefined_item(dataset_add_item(ds, TAG(0x0008, 0x1140)));
    struct dataset *item = dataset_add_item(ds, TAG(0x0008, 0x1140));
    dataset_put_text(item, TAG(0x0008, 0x1150), "UI", SAMPLE_SC);
    dataset_put_text(item, TAG(0x0008, 0x1155), "UI", "2.25.7");
}

static void put_private_blocks(struct dataset *ds)
{
    dataset_put_text(ds, TAG(0x0011, 0x0010), "LO", "FICTIVE BLOCK A");
    dataset_put_text(ds, TAG(0x0011, 0x0011), "LO", "FICTIVE BLOCK B");
    dataset_put_text(ds, TAG(0x0011, 0x1001), "LO", "of block A");
    dataset_put_text(ds, TAG(0x0011, 0x1101), "LO", "of block B");
    dataset_put_bytes(ds, TAG(0x0011, 0x1102), "UN", "\0\1\2\3", 4);
    dataset_put_text(ds, TAG(0x0029, 0x0010), "LO", "FICTIVE TREE");
    struct dataset *item = dataset_add_item(ds, TAG(0x0029, 0x1010));
    dataset_put_text(item, TAG(0x0029, 0x0010), "LO", "FICTIVE TREE");
    dataset_put_text(item, TAG(0x0029, 0x1011), "LO", "inside a private sequence");
    dataset_put_text(item, TAG(0x0008, 0x1030), "LO", "a public element inside it");
    dataset_undefined_sequence(ds, TAG(0x0029, 0x1010));
    dataset_put_text(ds, TAG(0x0033, 0x1001), "LO", "a private element without its creator");
}

static void put_odd_values(struct dataset *ds)
{
    dataset_put_text(ds, TAG(0x0008, 0x0008), "CS", "DERIVED\\SECONDARY\\OTHER\\\\FIFTH");
    dataset_put_text(ds, TAG(0x0010, 0x1000), "LO", "ID1\\ID-2\\ID 3");
    dataset_put_text(ds, TAG(0x0010, 0x1001), "PN", "One^Name\\Second^Name^^Dr.\\=^");
    dataset_put_text(ds, TAG(0x0010, 0x2180), "SH", "odd");
    dataset_put_text(ds, TAG(0x0010, 0x21F0), "LO", "  blanks around  ");
    dataset_put_text(ds, TAG(0x0018, 0x1000), "LO", "");
    dataset_put_unpadded(ds, TAG(0x0018, 0x1016), "LO", "truly odd"); /* nine bytes */
    dataset_put_text(ds, TAG(0x0018, 0x1200), "DA", "20240101\\20240202\\20240303");
    dataset_put_text(ds, TAG(0x0018, 0x1008), "LO", "\\");
    const uint16_t words[5] = {0, 1, 256, 32768, 65535};
    dataset_put_text(ds, TAG(0x0020, 0x0037), "DS", " 1 \\-0.000000000001\\+1.5E+3\\007\\.5\\-0");
    dataset_put_text(ds, TAG(0x0020, 0x4000), "LT", "a line\r\nanother, with \"quotes\"; and a comma\ttab");
    dataset_put_text(ds, TAG(0x0028, 0x0034), "IS", "1\\1");
    const double doubles[4] = {0.0, -0.0, 1.0e300, 0.1};
    dataset_put_f64s(ds, TAG(0x0018, 0x9345), "FD", doubles, 1);
    dataset_put_f64s(ds, TAG(0x0020, 0x9301), "FD", doubles, 4);
    dataset_put_f64(ds, TAG(0x0018, 0x9073), 0.1);
    dataset_put_f32(ds, TAG(0x0018, 0x2046), 0.1f);
    dataset_put_attribute_tag(ds, TAG(0x0028, 0x0009), TAG(0x0054, 0x0010));
    dataset_put_text(ds, TAG(0x0040, 0xA160), "UT", "a text without limit");
    dataset_put_words(ds, TAG(0x0028, 0x3006), "US", words, 5);
    dataset_put_text(ds, TAG(0x0008, 0x002A), "DT", "20240801123456.789000+0130");
}

static void put_long_values(struct dataset *ds)
{
    struct buffer text = {0};
    for (unsigned i = 0; i < 1000; i++)
        buffer_append_format(&text, "word%03u ", i);
    dataset_put_text(ds, TAG(0x0040, 0xA160), "UT", buffer_text(&text));
    dataset_put_text(ds, TAG(0x0011, 0x0010), "LO", "FICTIVE BLOB");
    dataset_put_bytes(ds, TAG(0x0011, 0x1001), "OB", text.data, text.length);
    buffer_clear(&text);
    struct buffer numbers = {0};
    for (unsigned i = 0; i < 700; i++)
        buffer_append_format(&numbers, "%s%u.5", i == 0 ? "" : "\\", i);
    dataset_put_text(ds, TAG(0x3006, 0x0050), "DS", buffer_text(&numbers));
    buffer_clear(&numbers);
}

/* More elements than the 300 that Niffler takes: the descriptions of 16 overlays without a bit, and a long
 * list. */
static void put_many(struct dataset *ds)
{
    for (uint32_t overlay = 0; overlay < 16; overlay++) {
        uint32_t base = TAG(0x6000 + 2 * overlay, 0);
        dataset_put_u16(ds, base + 0x0010, 48);
        dataset_put_u16(ds, base + 0x0011, 64);
        dataset_put_format(ds, base + 0x0022, "LO", "overlay %u", overlay);
        dataset_put_text(ds, base + 0x0040, "CS", "R");
        dataset_put_text(ds, base + 0x0045, "LO", "USER");
        dataset_put_format(ds, base + 0x1301, "IS", "%u", 100 + overlay);
        dataset_put_text(ds, base + 0x1302, "DS", "10.5");
        dataset_put_text(ds, base + 0x1303, "DS", "0.5");
        dataset_put_format(ds, base + 0x1500, "LO", "label %u", overlay);
    }
    for (unsigned i = 0; i < 60; i++) {
        char value[16];
        (void)snprintf(value, sizeof(value), "C%u", i);
        sample_put_code(ds, TAG(0x0008, 0x1032), value, "99INVENTED", "One of many codes");
    }
}

/* 1: levels of sequences; 2: empty sequences; 3: private blocks; 4: odd values; 5: long values; 6: private
 * blocks in implicit VR, where their VR is unknown; 7: more elements than Niffler's 300. */
void sample_group_nested(struct sample_set *set)
{
    const struct sample_series series = secondary_capture(&elif, "OT_VALUES", "S0001_VALUES");
    for (unsigned instance = 1; instance <= 7; instance++) {
        struct dataset *ds = sample_new(set, &series, instance);
        put_arrow(ds);
        if (instance == 1)
            put_levels(ds, 9);
        else if (instance == 2)
            put_empty_sequences(ds);
        else if (instance == 3 || instance == 6)
            put_private_blocks(ds);
        else if (instance == 4)
            put_odd_values(ds);
        else if (instance == 5)
            put_long_values(ds);
        else
            put_many(ds);
        sample_write(set, &series, instance, ds,
                     instance == 6 ? SAMPLE_IMPLICIT_LITTLE : SAMPLE_EXPLICIT_LITTLE);
    }
}
