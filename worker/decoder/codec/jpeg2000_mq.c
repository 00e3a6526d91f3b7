#include "worker/decoder/codec/jpeg2000_mq.h"

/* Both states of a row of table C.2: NMPS and NLPS are numbers of rows, and where SWITCH is 1 the symbols
 * change their places. */
#define STATE(qe, nmps, nlps, change, symbol)                                            \
    ((uint64_t)(qe) << MQ_AHEAD | (uint64_t)(2 * (nlps) + ((symbol) ^ (change))) << 16 | \
     (uint64_t)(2 * (nmps) + (symbol)) << 8 | (symbol))
#define ROW(qe, nmps, nlps, change) STATE(qe, nmps, nlps, change, 0), STATE(qe, nmps, nlps, change, 1)

const uint64_t mq_states[MQ_STATES] = {
    ROW(0x5601, 1, 1, 1),   ROW(0x3401, 2, 6, 0),   ROW(0x1801, 3, 9, 0),   ROW(0x0AC1, 4, 12, 0),
    ROW(0x0521, 5, 29, 0),  ROW(0x0221, 38, 33, 0), ROW(0x5601, 7, 6, 1),   ROW(0x5401, 8, 14, 0),
    ROW(0x4801, 9, 14, 0),  ROW(0x3801, 10, 14, 0), ROW(0x3001, 11, 17, 0), ROW(0x2401, 12, 18, 0),
    ROW(0x1C01, 13, 20, 0), ROW(0x1601, 29, 21, 0), ROW(0x5601, 15, 14, 1), ROW(0x5401, 16, 14, 0),
    ROW(0x5101, 17, 15, 0), ROW(0x4801, 18, 16, 0), ROW(0x3801, 19, 17, 0), ROW(0x3401, 20, 18, 0),
    ROW(0x3001, 21, 19, 0), ROW(0x2801, 22, 19, 0), ROW(0x2401, 23, 20, 0), ROW(0x2201, 24, 21, 0),
    ROW(0x1C01, 25, 22, 0), ROW(0x1801, 26, 23, 0), ROW(0x1601, 27, 24, 0), ROW(0x1401, 28, 25, 0),
    ROW(0x1201, 29, 26, 0), ROW(0x1101, 30, 27, 0), ROW(0x0AC1, 31, 28, 0), ROW(0x09C1, 32, 29, 0),
    ROW(0x08A1, 33, 30, 0), ROW(0x0521, 34, 31, 0), ROW(0x0441, 35, 32, 0), ROW(0x02A1, 36, 33, 0),
    ROW(0x0221, 37, 34, 0), ROW(0x0141, 38, 35, 0), ROW(0x0111, 39, 36, 0), ROW(0x0085, 40, 37, 0),
    ROW(0x0049, 41, 38, 0), ROW(0x0025, 42, 39, 0), ROW(0x0015, 43, 40, 0), ROW(0x0009, 44, 41, 0),
    ROW(0x0005, 45, 42, 0), ROW(0x0001, 45, 43, 0), ROW(0x5601, 46, 46, 0),
};

void mq_fill_slowly(struct mq_decoder *mq)
{
    uint64_t c = (uint64_t)mq->c;
    do {
        const uint64_t byte = *mq->at;
        if (!mq->is_stuffed) {
            c += byte << ((int32_t)MQ_AHEAD - 8 - mq->ahead);
            mq->ahead += 8;
            mq->is_stuffed = byte == 0xFF;
            mq->at++;
        } else if (byte > 0x8F) { /* a marker, or the end: ones, for ever */
            c += (uint64_t)0xFF << ((int32_t)MQ_AHEAD - 8 - mq->ahead);
            mq->ahead += 8;
        } else if (byte > 0x7F && mq->ahead > 0) {
            break; /* its highest bit counts at once, so it must not come before it is wanted */
        } else {
            c += byte << ((int32_t)MQ_AHEAD - 7 - mq->ahead);
            mq->ahead += 7;
            mq->is_stuffed = false;
            mq->at++;
        }
    } while (mq->ahead <= (int32_t)MQ_AHEAD - 8);
    mq->c = (int64_t)c;
}

void mq_init(struct mq_decoder *mq, const uint8_t *bytes)
{
    *mq = (struct mq_decoder){.a = MQ_TOP, /* 0x8000 */
                              .c = (int64_t)bytes[0] << (MQ_AHEAD + 7),
                              .ahead = -7, /* C's lowest byte, which is shifted by 7 */
                              .is_stuffed = bytes[0] == 0xFF,
                              .at = bytes + 1};
    mq_fill_slowly(mq);
    mq->is_beyond = mq->c >= mq->a;
}
