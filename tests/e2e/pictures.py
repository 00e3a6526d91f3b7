"""Pictures as arrays, for the tests that look at every pixel (Debian's python3-numpy and python3-png)."""
import os

import numpy
import png


def read(path):
    """-> array of rows x columns x samples, bits of a PNG sample."""
    with open(path, "rb") as file:
        width, height, values, info = png.Reader(file=file).read_flat()
    samples = numpy.frombuffer(values, numpy.uint8 if values.itemsize == 1 else numpy.uint16)
    return samples.reshape(height, width, info["planes"]).astype(numpy.int64), info["bitdepth"]


def undone(row, out):
    """The values that the picture of a line of mapping.csv stands for, by nothing but that line (README.md)."""
    picture, bits = read(os.path.join(out, row["PNG location"]))
    offset, maximum = float(row["offset"]), float(row["maximum"])
    white = 1 if row["scaling"] == "stored" and maximum - offset == 1 else (1 << bits) - 1
    values = offset + picture * (maximum - offset) / white
    whole = numpy.rint(values)
    assert row["scaling"] != "stored" or (values == whole).all(), row["PNG location"]
    return whole.astype(numpy.int64)


def full(values, white):
    """`PixelScaling: full` as worker/decoder/render/render.h writes it down, in double arithmetic."""
    offset, maximum = float(min(0, values.min())), float(values.max())
    if maximum <= offset:
        return numpy.zeros(values.shape, numpy.int64)
    return numpy.trunc((values - offset) / (maximum - offset) * white).astype(numpy.int64)


def ycbcr_to_rgb(values, bits):
    """PS3.3 C.7.6.3.1.2 inverted, at full range, rounded half up and clipped: in whole millionths, so exact."""
    y, cb, cr = (values[..., i].astype(numpy.int64) for i in range(3))
    half, top = 1 << (bits - 1), (1 << bits) - 1
    cb, cr, y = cb - half, cr - half, y * 10**6 + 500000
    rgb = numpy.stack((y + 1402000 * cr, y - 344136 * cb - 714136 * cr, y + 1772000 * cb), axis=-1) // 10**6
    return rgb.clip(0, top)
