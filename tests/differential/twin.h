/* twin.h: DCMTK in a process of its own, so that a file that it dies of costs that file only. */
#ifndef NIFFLER_TESTS_DIFFERENTIAL_TWIN_H
#define NIFFLER_TESTS_DIFFERENTIAL_TWIN_H

#include "tests/differential/listing.h"

#define TWIN_FILE_BYTES ((size_t)64 << 20)

enum twin_answer {
    TWIN_READ,    /* the listing is there, whether or not DCMTK accepts the file */
    TWIN_CRASHED, /* it died of the file, or took all the processor time it had  */
};

struct twin;

/* Return a new twin; its process starts with the first file, and again after each that it died of. Ends the
 * test program where memory or processes are not to be had. */
struct twin *twin_new(void);
void twin_free(struct twin *twin);

/* Hand a file of at most TWIN_FILE_BYTES to it. The answer's listing is valid until the next call. */
enum twin_answer twin_list(struct twin *twin, const uint8_t *bytes, size_t length, unsigned cpu_seconds);
const struct listing *twin_listing(const struct twin *twin);

/* The file again in another transfer syntax (dicom_dcmtk_transcode()); NULL where DCMTK does not do it. */
const uint8_t *twin_transcode(struct twin *twin, const uint8_t *bytes, size_t length, const char *syntax,
                              bool is_undefined, size_t *out_length);

#endif
