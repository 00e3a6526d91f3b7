/* walker.h: the tag walker as a reader that makes a listing (listing.h). */
#ifndef NIFFLER_TESTS_DIFFERENTIAL_WALKER_H
#define NIFFLER_TESTS_DIFFERENTIAL_WALKER_H

#include "tests/differential/listing.h"
#include "worker/decoder/dicom/charset.h"
#include "worker/decoder/dicom/dicom.h"

struct walker;

/* Return a new walker, for any number of files. */
struct walker *walker_new(void);
void walker_free(struct walker *walker);

/* What dicom.h gives of a file. The bytes go in by a descriptor of a file in memory, as they do in use, and
 * are borrowed until the next call. False: the list that dicom_append_elements() gives is not well-formed, or
 * is not that of the walk; never what a file may cause. */
bool walker_list(struct walker *walker, const uint8_t *bytes, size_t length, struct listing *out);

/* The bytes that the places in the listing mean: the file, or what it inflates to. */
const uint8_t *walker_source(const struct walker *walker, uint64_t *size);

/* What the walker would make of a text of DCMTK's, in the character set that an entry of ours stands in. */
void walker_convert(const struct walker *walker, const struct listed *ours, const uint8_t *text,
                    uint64_t length, struct buffer *out);

#endif
