#include "worker/value_text.h"

#include <inttypes.h>

#include "common/eight.h"
#include "common/utf8.h"

/* How a VR is read. `width` of the numbers in bytes; `padding` of each value of a text in the dicom format.
 */
struct vr_facts {
    char vr[3];
    uint8_t kind;
    uint8_t width;
    bool is_signed, is_float;
    bool is_single;  /* '\' is a character like others                         */
    bool is_blanked; /* blanks on both sides of a value mean nothing (PS3.5 6.2) */
};

static const struct vr_facts vr_table[] = {
    {"AE", VALUE_TEXT, 0, false, false, false, true},   {"AS", VALUE_TEXT, 0, false, false, false, true},
    {"AT", VALUE_TAG, 4, false, false, false, false},   {"CS", VALUE_TEXT, 0, false, false, false, true},
    {"DA", VALUE_TEXT, 0, false, false, false, true},   {"DS", VALUE_DECIMAL, 0, false, false, false, true},
    {"DT", VALUE_TEXT, 0, false, false, false, true},   {"FD", VALUE_NUMBER, 8, false, true, false, false},
    {"FL", VALUE_NUMBER, 4, false, true, false, false}, {"IS", VALUE_INTEGER, 0, false, false, false, true},
    {"LO", VALUE_TEXT, 0, false, false, false, false},  {"LT", VALUE_TEXT, 0, false, false, true, false},
    {"PN", VALUE_TEXT, 0, false, false, false, false},  {"SH", VALUE_TEXT, 0, false, false, false, false},
    {"SL", VALUE_NUMBER, 4, true, false, false, false}, {"SS", VALUE_NUMBER, 2, true, false, false, false},
    {"ST", VALUE_TEXT, 0, false, false, true, false},   {"SV", VALUE_NUMBER, 8, true, false, false, false},
    {"TM", VALUE_TEXT, 0, false, false, false, true},   {"UC", VALUE_TEXT, 0, false, false, false, false},
    {"UI", VALUE_TEXT, 0, false, false, false, true},   {"UL", VALUE_NUMBER, 4, false, false, false, false},
    {"UR", VALUE_TEXT, 0, false, false, true, true},    {"US", VALUE_NUMBER, 2, false, false, false, false},
    {"UT", VALUE_TEXT, 0, false, false, true, false},   {"UV", VALUE_NUMBER, 8, false, false, false, false},
};

static const struct vr_facts bytes_facts = {"UN", VALUE_BYTES, 0, false, false, true, false};

/* Row of the table, plus one, by the two letters: each element of each file is looked up, and a search by
 * halves guesses wrong at each step. */
#define VR(first, second) (((first) - 'A') * 26 + (second) - 'A')
static const uint8_t vr_rows[26 * 26] = {
    [VR('A', 'E')] = 1,  [VR('A', 'S')] = 2,  [VR('A', 'T')] = 3,  [VR('C', 'S')] = 4,  [VR('D', 'A')] = 5,
    [VR('D', 'S')] = 6,  [VR('D', 'T')] = 7,  [VR('F', 'D')] = 8,  [VR('F', 'L')] = 9,  [VR('I', 'S')] = 10,
    [VR('L', 'O')] = 11, [VR('L', 'T')] = 12, [VR('P', 'N')] = 13, [VR('S', 'H')] = 14, [VR('S', 'L')] = 15,
    [VR('S', 'S')] = 16, [VR('S', 'T')] = 17, [VR('S', 'V')] = 18, [VR('T', 'M')] = 19, [VR('U', 'C')] = 20,
    [VR('U', 'I')] = 21, [VR('U', 'L')] = 22, [VR('U', 'R')] = 23, [VR('U', 'S')] = 24, [VR('U', 'T')] = 25,
    [VR('U', 'V')] = 26,
};

static const struct vr_facts *find_vr(const char vr[2])
{
    unsigned first = (unsigned)(unsigned char)vr[0] - 'A', second = (unsigned)(unsigned char)vr[1] - 'A';
    unsigned row = first < 26 && second < 26 ? vr_rows[first * 26 + second] : 0;
    return row > 0 ? &vr_table[row - 1] : &bytes_facts;
}

/* A number or tag whose bytes do not divide is taken as bytes, as pydicom's callers do. */
static const struct vr_facts *facts_of(const struct wire_element *element)
{
    const struct vr_facts *facts = find_vr(element->vr);
    if (facts->width > 0 && element->length % facts->width != 0 && !(element->flags & WIRE_VALUE_CUT))
        return &bytes_facts;
    return facts;
}

enum value_kind value_text_kind(const char vr[2])
{
    return find_vr(vr)->kind;
}

static bool is_vr(const struct vr_facts *facts, const char *vr)
{
    return facts->vr[0] == vr[0] && facts->vr[1] == vr[1];
}

static struct slice slice_of(const struct wire_element *element)
{
    return (struct slice){(const char *)element->bytes, element->length};
}

/* Take the next value off *rest; false behind the last. `*rest` with a NULL text is used up. */
static bool next_value(struct slice *rest, struct slice *value)
{
    if (rest->text == NULL)
        return false;
    const char *end = rest->length > 0 ? memchr(rest->text, '\\', rest->length) : NULL;
    *value = *rest;
    if (end == NULL) {
        rest->text = NULL;
        return true;
    }
    value->length = (size_t)(end - rest->text);
    rest->text = end + 1;
    rest->length -= value->length + 1;
    return true;
}

static bool is_multiple(struct slice text)
{
    return text.length > 0 && memchr(text.text, '\\', text.length) != NULL;
}

/* Trailing empty groups of a person name mean nothing: "A^B==" is "A^B". */
static struct slice strip_groups(struct slice name)
{
    while (name.length > 0 && name.text[name.length - 1] == '=')
        name.length--;
    return name;
}

/* ---- numbers ---- */

static uint64_t read_little_endian(const uint8_t *bytes, size_t width)
{
    uint64_t value = 0;
    for (size_t i = width; i-- > 0;)
        value = value << 8 | bytes[i];
    return value;
}

static int64_t extend_sign(uint64_t bits, size_t width)
{
    unsigned shift = (unsigned)(64 - 8 * width);
    uint64_t sign = UINT64_C(1) << (8 * width - 1);
    return shift == 0 ? (int64_t)bits : (int64_t)((bits ^ sign) - sign);
}

static double read_float(uint64_t bits, size_t width)
{
    float single;
    double value;
    uint32_t low = (uint32_t)bits;
    if (width == 4) {
        memcpy(&single, &low, sizeof single);
        return (double)single;
    }
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The first value of a lookup table's descriptor counts its entries and is unsigned, whatever the VR (PS3.3
 * C.7.6.3.1.5, C.11.1). */
static bool is_lut_descriptor(uint32_t tag)
{
    return (tag >= 0x00281101 && tag <= 0x00281103) || tag == 0x00283002;
}

static void append_number(struct buffer *out, const struct wire_element *element,
                          const struct vr_facts *facts, size_t index, enum value_format format)
{
    uint64_t bits = read_little_endian(element->bytes + index * facts->width, facts->width);
    bool is_descriptor =
        index == 0 && facts->width == 2 && element->length > 2 && is_lut_descriptor(element->tag);

    if (facts->is_float && format == VALUE_FORMAT_NIFFLER)
        python_append_float(out, read_float(bits, facts->width));
    else if (facts->is_float)
        python_append_number(out, read_float(bits, facts->width), facts->width == 4);
    else if (facts->is_signed && !is_descriptor)
        buffer_append_i64(out, extend_sign(bits, facts->width));
    else
        buffer_append_u64(out, bits);
}

/* Group and element, each little endian. */
static void append_tag(struct buffer *out, const uint8_t *bytes, const char *format)
{
    unsigned group = bytes[0] | (unsigned)bytes[1] << 8;
    unsigned element = bytes[2] | (unsigned)bytes[3] << 8;
    static const char lower[] = "0123456789abcdef", upper[] = "0123456789ABCDEF";
    const char *digits = format[0] == 'X' ? upper : lower;
    buffer_append_char(out, '(');
    for (int shift = 12; shift >= 0; shift -= 4)
        buffer_append_char(out, digits[group >> shift & 0xf]);
    buffer_append_text(out, format + 1);
    for (int shift = 12; shift >= 0; shift -= 4)
        buffer_append_char(out, digits[element >> shift & 0xf]);
    buffer_append_char(out, ')');
}

/* ---- niffler ---- */

enum python_form {
    FORM_STR,  /* str(value), as pandas' CSV writer does */
    FORM_REPR, /* repr(value), inside a list of tuples   */
};

static void append_text_form(struct buffer *out, struct slice text, enum python_form form)
{
    if (form == FORM_REPR)
        python_append_text_repr(out, text);
    else
        buffer_append(out, text.text, text.length);
}

/* A tuple of texts, each stripped as pydicom strips the values of that VR. */
static void append_text_tuple(struct buffer *out, struct slice text, const struct vr_facts *facts)
{
    struct slice value;
    const char *lead = "(";
    while (next_value(&text, &value)) {
        if (is_vr(facts, "AE") || is_vr(facts, "UI"))
            value = python_strip(value);
        else if (is_vr(facts, "LO") || is_vr(facts, "SH") || is_vr(facts, "UC"))
            value = python_strip_padding(value);
        else if (is_vr(facts, "PN"))
            value = strip_groups(value);
        buffer_append_text(out, lead);
        python_append_text_repr(out, value);
        lead = ", ";
    }
    buffer_append_char(out, ')');
}

static void append_python_text(struct buffer *out, struct slice text, const struct vr_facts *facts,
                               enum python_form form)
{
    /* AE and UR are the two whose trailing NULs pydicom keeps. */
    if (is_vr(facts, "UR"))
        text = python_strip_end(text);
    else if (!is_vr(facts, "AE"))
        text = python_strip_padding(text);
    if (!facts->is_single && is_multiple(text)) {
        append_text_tuple(out, text, facts);
        return;
    }
    if (is_vr(facts, "AE") || is_vr(facts, "UI"))
        text = python_strip(text);
    else if (is_vr(facts, "PN"))
        text = strip_groups(text);
    append_text_form(out, text, form);
}

/* What pydicom does with DS or IS that is no number: reads it as SH. */
static void append_as_short_text(struct buffer *out, struct slice text, enum python_form form)
{
    append_python_text(out, text, find_vr("SH"), form);
}

/* Several DS or IS, each repr() in quotes. Returns false, and appends nothing, where one of them is no
 * number. */
static bool append_numeral_tuple(struct buffer *out, struct slice text, bool is_decimal)
{
    size_t start = out->length;
    struct slice value;
    const char *lead = "(";
    while (next_value(&text, &value)) {
        buffer_append_text(out, lead);
        lead = ", ";
        if (python_strip(value).length == 0) {
            python_append_text_repr(out, value);
            continue;
        }
        buffer_append_char(out, '\'');
        if (is_decimal ? !python_append_float_of_text(out, value)
                       : python_append_integer_of_text(out, value) == PYTHON_NO_INTEGER) {
            buffer_truncate(out, start);
            return false;
        }
        buffer_append_char(out, '\'');
    }
    buffer_append_char(out, ')');
    return true;
}

static void append_python_decimal(struct buffer *out, struct slice text, enum python_form form)
{
    struct slice whole = python_strip_padding(python_strip(text));
    size_t start = out->length;

    if (is_multiple(whole)) {
        if (!append_numeral_tuple(out, whole, true))
            append_as_short_text(out, text, form);
    } else if (python_strip(whole).length == 0) {
        append_text_form(out, whole, form);
    } else if (!python_append_float_of_text(out, whole)) {
        append_as_short_text(out, text, form);
    } else if (form == FORM_STR && out->length - start == 3 && memcmp(out->data + start, "nan", 3) == 0) {
        buffer_truncate(out, start); /* pandas: not a number is a missing value */
    }
}

static void append_python_integer(struct buffer *out, struct slice text, enum python_form form)
{
    struct slice whole = python_strip_padding(text);

    if (is_multiple(whole)) {
        if (!append_numeral_tuple(out, whole, false))
            append_as_short_text(out, text, form);
    } else if (python_strip(whole).length == 0) {
        append_text_form(out, whole, form);
    } else if (python_append_integer_of_text(NULL, whole) == PYTHON_NO_INTEGER) {
        append_as_short_text(out, text, form);
    } else {
        append_text_form(out, python_strip(whole), form);
    }
}

/* One number is a number, several are a list. */
static void append_python_numbers(struct buffer *out, const struct wire_element *element,
                                  const struct vr_facts *facts, enum python_form form)
{
    size_t count = element->length / facts->width;
    size_t start = out->length;

    /* Where pydicom had to choose the VR, it unpacks the values itself, to a tuple. */
    bool is_tuple = (element->flags & WIRE_VALUE_CHOSEN_VR) != 0;
    if (count > 1)
        buffer_append_char(out, is_tuple ? '(' : '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buffer_append_text(out, ", ");
        append_number(out, element, facts, i, VALUE_FORMAT_NIFFLER);
    }
    if (count > 1)
        buffer_append_char(out, is_tuple ? ')' : ']');
    else if (form == FORM_STR && out->length - start == 3 && memcmp(out->data + start, "nan", 3) == 0)
        buffer_truncate(out, start);
}

static void append_python_tags(struct buffer *out, const struct wire_element *element, enum python_form form)
{
    size_t count = element->length / 4;
    if (count == 1 && form == FORM_STR) {
        /* A tag is an int to pandas. */
        const uint8_t *b = element->bytes;
        uint32_t group = b[0] | (uint32_t)b[1] << 8;
        buffer_append_u64(out, group << 16 | b[2] | (uint32_t)b[3] << 8);
        return;
    }
    if (count > 1)
        buffer_append_char(out, '(');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buffer_append_text(out, ", ");
        append_tag(out, element->bytes + 4 * i, "x, ");
    }
    if (count > 1)
        buffer_append_char(out, ')');
}

static void append_summary(struct buffer *out, const struct wire_element *element)
{
    buffer_append_char(out, '<');
    buffer_append(out, element->vr, 2);
    buffer_append_char(out, ' ');
    buffer_append_u64(out, element->full_length);
    buffer_append_text(out, element->full_length == 1 ? " byte>" : " bytes>");
}

static void append_python(struct buffer *out, const struct wire_element *element, enum python_form form)
{
    const struct vr_facts *facts = facts_of(element);
    if (element->flags & WIRE_VALUE_NOT_READ && element->full_length > 0) {
        append_summary(out, element);
        return;
    }
    if (element->length == 0) {
        bool is_text = facts->kind == VALUE_TEXT;
        if (form == FORM_REPR)
            buffer_append_text(out, is_text ? "''" : "None");
        return;
    }
    switch ((enum value_kind)facts->kind) {
    case VALUE_TEXT:
        append_python_text(out, slice_of(element), facts, form);
        break;
    case VALUE_DECIMAL:
        append_python_decimal(out, slice_of(element), form);
        break;
    case VALUE_INTEGER:
        append_python_integer(out, slice_of(element), form);
        break;
    case VALUE_NUMBER:
        append_python_numbers(out, element, facts, form);
        break;
    case VALUE_TAG:
        append_python_tags(out, element, form);
        break;
    case VALUE_BYTES:
        python_append_bytes_repr(out, element->bytes, element->length);
        break;
    }
}

bool value_text_is_dropped(const struct wire_element *element)
{
    struct slice text, value;
    bool is_lost = false;
    if (find_vr(element->vr)->kind != VALUE_INTEGER)
        return false;
    text = python_strip_padding(slice_of(element));
    /* pydicom stops at the first value that raises; one that is no number makes the whole a text. */
    while (!is_lost && next_value(&text, &value)) {
        if (python_strip(value).length == 0)
            continue;
        enum python_integer kind = python_append_integer_of_text(NULL, value);
        if (kind == PYTHON_NO_INTEGER)
            return false;
        is_lost = kind == PYTHON_INTEGER_LOSS;
    }
    return is_lost;
}

void value_text_append_repr(struct buffer *out, const struct wire_element *element)
{
    append_python(out, element, FORM_REPR);
}

/* ---- dicom ---- */

static void append_dicom_text(struct buffer *out, struct slice text, const struct vr_facts *facts)
{
    struct slice value;
    text = python_strip_padding(text);
    if (facts->is_single) {
        buffer_append(out, text.text, text.length);
        return;
    }
    for (bool is_first = true; next_value(&text, &value); is_first = false) {
        if (!is_first)
            buffer_append_char(out, '\\');
        value = facts->is_blanked ? python_strip(value) : value;
        value = python_strip_padding(value);
        if (is_vr(facts, "PN"))
            value = strip_groups(value);
        buffer_append(out, value.text, value.length);
    }
}

static void append_dicom(struct buffer *out, const struct wire_element *element)
{
    const struct vr_facts *facts = facts_of(element);
    if (facts->kind == VALUE_BYTES || element->flags & WIRE_VALUE_NOT_READ) {
        if (element->full_length > 0)
            append_summary(out, element);
        return;
    }
    if (facts->kind != VALUE_NUMBER && facts->kind != VALUE_TAG) {
        append_dicom_text(out, slice_of(element), facts);
        return;
    }
    for (size_t i = 0; i < element->length / facts->width; i++) {
        if (i > 0)
            buffer_append_char(out, '\\');
        if (facts->kind == VALUE_TAG)
            append_tag(out, element->bytes + 4 * i, "X,");
        else
            append_number(out, element, facts, i, VALUE_FORMAT_DICOM);
    }
}

/* ---- what no cell may hold ---- */

static bool is_hidden(unsigned char c)
{
    return (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f;
}

/* Make control characters visible. Values are nearly always plain ASCII, so one look decides. */
static void show_hidden(struct buffer *out, size_t start)
{
    size_t first = start;
    if (first == out->length || !eight_any(out->data + start, out->length - start, eight_not_printable))
        return;
    while (first < out->length && !is_hidden((unsigned char)out->data[first]))
        first++;
    if (first == out->length)
        return;
    struct buffer dirty = {0};
    buffer_append(&dirty, out->data + first, out->length - first);
    buffer_truncate(out, first);
    for (size_t i = 0; i < dirty.length; i++) {
        unsigned char c = (unsigned char)dirty.data[i];
        if (is_hidden(c)) {
            buffer_append_text(out, "\xe2\x90"); /* U+2400 to U+241F, U+2421 */
            buffer_append_char(out, c == 0x7f ? '\xa1' : (char)(0x80 | c));
        } else {
            buffer_append_char(out, (char)c);
        }
    }
    buffer_clear(&dirty);
}

/* Niffler's cells hold control characters as they are, and end at a NUL: pandas, reading its own table again,
 * does. */
static void end_at_nul(struct buffer *out, size_t start)
{
    const char *nul = out->length > start ? memchr(out->data + start, '\0', out->length - start) : NULL;
    if (nul != NULL)
        buffer_truncate(out, (size_t)(nul - out->data));
}

/* Cut to `max` bytes at a character's boundary and say how long the value is in the file. */
static void cut(struct buffer *out, size_t start, uint64_t max, const struct wire_element *element)
{
    bool is_partial = (element->flags & WIRE_VALUE_CUT) != 0 && element->length < element->full_length;
    bool is_summary = element->flags & WIRE_VALUE_NOT_READ;
    size_t end = out->length;
    if (max > 0 && end - start > max) {
        end = start + (size_t)max;
        while (end > start && ((unsigned char)out->data[end] & 0xc0) == 0x80)
            end--;
    } else if (!is_partial || is_summary) {
        return;
    }
    buffer_truncate(out, end);
    buffer_append_format(out, "\xe2\x80\xa6[cut, %" PRIu64 " bytes]", element->full_length);
}

void value_text_append(struct buffer *out, const struct wire_element *element, enum value_format format,
                       uint64_t max_value_bytes)
{
    size_t start = out->length;
    if (format == VALUE_FORMAT_NIFFLER)
        append_python(out, element, FORM_STR);
    else
        append_dicom(out, element);
    if (format == VALUE_FORMAT_NIFFLER)
        end_at_nul(out, start);
    else
        show_hidden(out, start);
    bool may_be_cut = (max_value_bytes > 0 && out->length - start > max_value_bytes) ||
                      (element->flags & WIRE_VALUE_CUT) != 0;
    if (may_be_cut && (format == VALUE_FORMAT_NIFFLER || facts_of(element)->kind != VALUE_BYTES))
        cut(out, start, max_value_bytes, element);
}

struct slice value_text_plain(const struct wire_element *element)
{
    const struct vr_facts *facts = find_vr(element->vr);
    struct slice text = python_strip_padding(slice_of(element));
    return is_vr(facts, "UI") || is_vr(facts, "AE") ? python_strip(text) : text;
}
