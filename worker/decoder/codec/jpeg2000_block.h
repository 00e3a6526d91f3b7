/* jpeg2000_block.h: one code-block of a JPEG 2000 stream, by the MQ coder (ISO/IEC 15444-1 Annexes C and D)
 * or the block coder of high throughput (ISO/IEC 15444-15).
 *
 * Reversible coding: samples are integers, without a fraction. Both functions give what OpenJPEG gives for
 * the same block, also where it does not hold all of its bit-planes, or leave the block to OpenJPEG. */
#ifndef NIFFLER_WORKER_DECODER_CODEC_JPEG2000_BLOCK_H
#define NIFFLER_WORKER_DECODER_CODEC_JPEG2000_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JPEG2000_BLOCK_SIDE 1024u /* columns or rows, at most */
#define JPEG2000_BLOCK_AREA 4096u
#define JPEG2000_BLOCK_PADDING 16u /* bytes that can be read in front of `bytes` and behind them */

/* Subbands by what filtered the columns' and the rows' direction: HL is high-pass along a row. */
enum subband { SUBBAND_LL, SUBBAND_HL, SUBBAND_LH, SUBBAND_HH };

struct ht_codes;

struct jpeg2000_block {
    const struct ht_codes *codes; /* HT: of jpeg2000_ht_codes() */
    const uint8_t *bytes;         /* the segments one behind the other, without the packets' headers; padded,
                                     behind the end with 0xFF                                               */
    uint32_t cleanup_length;      /* HT: Lcup, bytes of the cleanup segment; MQ: all bytes                  */
    uint32_t refinement_length;   /* HT: Lref, bytes of the SigProp and MagRef segment, 0: none; MQ: 0      */
    uint32_t passes;              /* coding passes; HT: 1 to 3                                              */
    uint32_t missing_planes;      /* zero bit-planes of the packet header (P)                               */
    uint32_t planes;              /* magnitude bit-planes of the subband (Mb), at most 30                   */
    uint32_t columns, rows;       /* 1 to JPEG2000_BLOCK_SIDE, their product at most JPEG2000_BLOCK_AREA    */
};

/* Write rows x columns samples in two's complement to `out`, `stride` samples from row to row. False: the
 * block is not to be decoded here, and its stream is left to OpenJPEG; what `out` holds then is not defined.
 */
bool jpeg2000_block_ht(const struct jpeg2000_block *block, int32_t *out, size_t stride);
bool jpeg2000_block_mq(const struct jpeg2000_block *block, enum subband orientation, int32_t *out,
                       size_t stride);

#endif
