#include "worker/decoder/render/voi.h"

#include <float.h>
#include <math.h>

/* The whole number nearest to a value, as an index that no table exceeds. */
static int64_t nearest(double value)
{
    return value < -1e9 ? -1000000000 : value > 1e9 ? 1000000000 : (int64_t)floor(value + 0.5);
}

double modality_look_up(const struct modality *modality, double stored)
{
    return isnan(stored) ? stored : lut_look_up(modality->lut, nearest(stored)); /* of NaN none is nearest */
}

/* The nearest value that calculations can go on with. */
static double within_double(double value)
{
    return fmin(fmax(value, -DBL_MAX), DBL_MAX);
}

/* Ends of a window that a double does not hold any more would make no number of everything between. */
struct voi voi_range(double low, double high)
{
    return (struct voi){.kind = VOI_RANGE, .low = within_double(low), .high = within_double(high)};
}

struct voi voi_linear(double center, double width)
{
    double half = (width - 1) / 2;
    return voi_range(center - 0.5 - half, center - 0.5 + half);
}

struct voi voi_linear_exact(double center, double width)
{
    return voi_range(center - width / 2, center + width / 2);
}

struct voi voi_sigmoid(double center, double width)
{
    struct voi voi = voi_linear_exact(center, width);
    voi.kind = VOI_SIGMOID;
    voi.center = center;
    voi.width = width;
    return voi;
}

struct voi voi_table(const struct lut *lut)
{
    struct voi voi = voi_range(lut->first, (double)lut->first + lut->count - 1);
    voi.kind = VOI_TABLE;
    voi.lut = lut;
    return voi;
}

/* The entries' own width says what white is; some tables exceed what their descriptor says. */
static double table_apply(const struct lut *lut, double value)
{
    uint32_t bits = lut->bits > 0 ? lut->bits : 16;
    double share = (double)lut_look_up(lut, nearest(value)) / (double)((1u << bits) - 1);
    return share > 1 ? 1 : share;
}

double voi_apply_curve(const struct voi *voi, double value)
{
    if (isnan(value))
        return 0;
    if (voi->kind == VOI_SIGMOID)
        return 1 / (1 + exp(-4 * (value - voi->center) / voi->width));
    return table_apply(voi->lut, value);
}
