/* voi.h: from stored values to what is seen, in two steps that are pure functions:
 *
 *     stored ── Modality LUT ──► value, such as Hounsfield units ── VOI LUT ──► 0 (black) to 1 (white)
 *               PS3.3 C.11.1                                        PS3.3 C.11.2
 *
 * What the file says of both is read by display.h; render.h makes rows with them. */
#ifndef NIFFLER_WORKER_DECODER_RENDER_VOI_H
#define NIFFLER_WORKER_DECODER_RENDER_VOI_H

#include "worker/decoder/image/lut.h"

/* slope * x + intercept (PS3.3 C.11.1.1.2), or a table where there is one. */
struct modality {
    double slope;
    double intercept;
    const struct lut *lut; /* NULL: none */
};
#define MODALITY_IDENTITY ((struct modality){1, 0, NULL})

/* The entry of the table that is nearest. */
double modality_look_up(const struct modality *modality, double stored);

/* Of NaN NaN. */
static inline double modality_apply(const struct modality *modality, double stored)
{
    if (modality->lut != NULL)
        return modality_look_up(modality, stored);
    return stored * modality->slope + modality->intercept;
}

struct voi {
    enum voi_kind {
        VOI_RANGE,   /* `low` and below 0, above `high` 1, and a line between */
        VOI_SIGMOID, /* of `center` and `width`                               */
        VOI_TABLE,   /* `lut`                                                 */
    } kind;
    double low, high;      /* of VOI_RANGE; of the others: what stands for black and white in a table */
    double center, width;  /* of VOI_SIGMOID */
    const struct lut *lut; /* of VOI_TABLE */
};

/* VOI LUT Function LINEAR (PS3.3 C.11.2.1.2.1): `width` at least 1; one of 1 is a threshold. */
struct voi voi_linear(double center, double width);
/* LINEAR_EXACT (C.11.2.1.3.2) and SIGMOID (C.11.2.1.3.1): `width` above 0. */
struct voi voi_linear_exact(double center, double width);
struct voi voi_sigmoid(double center, double width);
/* All from low to high, which lie as near to what was asked for as a double can; where they are equal,
 * everything is black. */
struct voi voi_range(double low, double high);
struct voi voi_table(const struct lut *lut);

/* What is no line. */
double voi_apply_curve(const struct voi *voi, double value);

/* 0 to 1; of NaN 0. */
static inline double voi_apply(const struct voi *voi, double value)
{
    if (voi->kind != VOI_RANGE)
        return voi_apply_curve(voi, value);
    /* In this order: of a threshold both ends are one value, which is black. */
    if (!(value > voi->low))
        return 0;
    if (value > voi->high)
        return 1;
    /* Halved, since the range of float data may exceed what a double holds. */
    return (value / 2 - voi->low / 2) / (voi->high / 2 - voi->low / 2);
}
#endif
