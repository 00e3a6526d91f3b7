/* jpeg2000_ht_codes.h: the codes of HTJ2K's cleanup pass (ITU-T T.814 Annex C), for look-up by the next bits.
 *
 * A quad is 2 × 2 samples, numbered from the left and, in a column, from above:
 *
 *     0 2
 *     1 3                                                                                        */
#ifndef NIFFLER_WORKER_DECODER_CODEC_JPEG2000_HT_CODES_H
#define NIFFLER_WORKER_DECODER_CODEC_JPEG2000_HT_CODES_H

#include <stdint.h>

/* What a code of CxtVLC says of a quad; each set of four has bit n for sample n. */
#define HT_LENGTH(code) ((code)&7u)              /* bits of the code                                  */
#define HT_HAS_U(code) ((code) >> 3 & 1u)        /* u_off: a residual of the exponent follows         */
#define HT_SIGNIFICANT(code) ((code) >> 4 & 15u) /* rho                                             */
#define HT_KNOWN(code) ((code) >> 8 & 15u)       /* e^k: the most significant bit is not in MagSgn … */
#define HT_TOP(code) ((code) >> 12 & 15u)        /* e^1: … but this                                   */

/* How the residuals of two quads side by side are coded. */
enum ht_pair {
    HT_NEITHER,
    HT_LEFT,
    HT_RIGHT,
    HT_BOTH,           /* below the first row of quads    */
    HT_BOTH_FIRST_ROW, /* there, behind a MEL event of 0 */
    HT_BOTH_HIGH,      /* there, behind one of 1          */
    HT_PAIRS,
};

/* What the next six bits say of such a pair: both prefixes, and the suffixes that follow them. */
#define HT_PREFIX_BITS(pair) ((pair)&7u)
#define HT_LEFT_BITS(pair) ((pair) >> 3 & 7u)
#define HT_RIGHT_BITS(pair) ((pair) >> 6 & 7u)
#define HT_LEFT_BASE(pair) ((pair) >> 9 & 15u)
#define HT_RIGHT_BASE(pair) ((pair) >> 13 & 15u)

struct ht_codes {
    uint16_t quads[2][8 << 7]; /* of the first row and the others, by context and next seven bits */
    uint32_t pairs[HT_PAIRS << 6];
};

/* Fill the tables: some microseconds, once for all blocks of a frame. */
void jpeg2000_ht_codes(struct ht_codes *codes);

#endif
