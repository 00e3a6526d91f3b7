/* charset.h: DICOM text to UTF-8 (PS3.3 C.12.1.1.2, PS3.5 Section 6.1 and Annexes H, I, J).
 *
 * Bytes that a character set does not know become U+FFFD; nothing is dropped. Where SpecificCharacterSet is
 * absent or unknown, bytes above 127 are read as ISO 8859-1, as pydicom does. */
#ifndef NIFFLER_WORKER_DECODER_DICOM_CHARSET_H
#define NIFFLER_WORKER_DECODER_DICOM_CHARSET_H

#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

struct charset_tables;

/* Load every code page, so that no file is opened later. Returns new. */
struct charset_tables *charset_tables_new(void);
void charset_tables_free(struct charset_tables *tables);

/* A SpecificCharacterSet: what its first value stands for, and whether others (or escapes) may follow. */
struct charset {
    uint8_t first; /* enum page in charset.c; 0: ISO 8859-1 */
    bool has_extensions;
};

/* Parse the value as it stands in the file ("ISO 2022 IR 13\ISO 2022 IR 87"). Common misspellings are
 * understood. */
struct charset charset_parse(const char *value, size_t length);

/* Append the text in UTF-8. Escape sequences are followed; `is_person_name`: '^' and '=' reset them too.
 * Returns whether every byte was known. */
bool charset_append(const struct charset_tables *tables, struct charset set, bool is_person_name,
                    const uint8_t *text, size_t length, struct buffer *out);

/* Append ISO 8859-1 text in UTF-8: VRs that SpecificCharacterSet does not touch. */
void charset_append_latin1(const uint8_t *text, size_t length, struct buffer *out);

#endif
