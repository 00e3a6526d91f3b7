#!/usr/bin/python3
"""encapsulate.py: turns a native sample into JPEG 2000 (by opj_compress) or into Encapsulated Uncompressed.

    encapsulate.py SOURCE.dcm OUTPUT.dcm TRANSFER_SYNTAX [--fragments N]

TRANSFER_SYNTAX is j2k-lossless, j2k-lossy or uncompressed. DCMTK as Debian packages it can do neither.
SOURCE is explicit little endian. Only the standard library is used.
"""
import argparse
import os
import struct
import subprocess
import sys
import tempfile

SYNTAXES = {
    'j2k-lossless': '1.2.840.10008.1.2.4.90',
    'j2k-lossy': '1.2.840.10008.1.2.4.91',
    'uncompressed': '1.2.840.10008.1.2.1.98',
}
LONG = (b'OB', b'OD', b'OF', b'OL', b'OV', b'OW', b'SQ', b'SV', b'UC', b'UN', b'UR', b'UT', b'UV')
UNDEFINED = 0xFFFFFFFF
META_LENGTH, TRANSFER_SYNTAX = 0x00020000, 0x00020010
IMAGE_TYPE, SAMPLES, PHOTOMETRIC, PLANAR, FRAMES = 0x00080008, 0x00280002, 0x00280004, 0x00280006, 0x00280008
ROWS, COLUMNS, ALLOCATED, STORED, SIGNED = 0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280103
LOSSY, LOSSY_RATIO, LOSSY_METHOD, PIXELS = 0x00282110, 0x00282112, 0x00282114, 0x7FE00010


def header(data, at):
    """Tag, VR, length and place of the value of the explicit little endian element at `at`."""
    group, element = struct.unpack_from('<HH', data, at)
    if group == 0xFFFE:
        return group << 16 | element, b'', struct.unpack_from('<I', data, at + 4)[0], at + 8
    vr = data[at + 4:at + 6]
    if vr in LONG:
        return group << 16 | element, vr, struct.unpack_from('<I', data, at + 8)[0], at + 12
    return group << 16 | element, vr, struct.unpack_from('<H', data, at + 6)[0], at + 8


def end_of(data, at):
    """Where the element at `at` ends; sequences of undefined length are walked."""
    tag, _, length, value = header(data, at)
    if length != UNDEFINED:
        return value + length
    stop = 0xFFFEE00D if tag == 0xFFFEE000 else 0xFFFEE0DD
    while header(data, value)[0] != stop:
        value = end_of(data, value)
    return value + 8


def read(path):
    """The top-level elements: {tag: (VR, bytes of the value), or whole bytes where it cannot be taken apart}."""
    with open(path, 'rb') as file:
        data = file.read()
    if data[128:132] != b'DICM':
        raise SystemExit(f'encapsulate.py: {path} has no preamble')
    elements, at = {}, 132
    while at < len(data):
        tag, vr, length, value = header(data, at)
        end = end_of(data, at)
        elements[tag] = (vr, data[value:end] if length != UNDEFINED else None, data[at:end])
        at = end
    if elements[TRANSFER_SYNTAX][1].rstrip(b'\0') != b'1.2.840.10008.1.2.1':
        raise SystemExit(f'encapsulate.py: {path} is not explicit little endian')
    return elements


def number(elements, tag, default=0):
    if tag not in elements:
        return default
    vr, value, _ = elements[tag]
    return int(value.decode()) if vr == b'IS' else struct.unpack('<H', value)[0]


def put(elements, tag, vr, value):
    if isinstance(value, str):
        value = value.encode('ascii') + (b'\0' if vr == b'UI' else b' ') * (len(value) % 2)
    if vr in LONG:
        raw = struct.pack('<HH2sHI', tag >> 16, tag & 0xFFFF, vr, 0, len(value)) + value
    else:
        raw = struct.pack('<HH2sH', tag >> 16, tag & 0xFFFF, vr, len(value)) + value
    elements[tag] = (vr, value, raw)


def write(path, elements):
    meta = b''.join(raw for tag, (_, _, raw) in sorted(elements.items()) if META_LENGTH < tag < 0x00030000)
    put(elements, META_LENGTH, b'UL', struct.pack('<I', len(meta)))
    with open(path, 'wb') as file:
        file.write(bytes(128) + b'DICM' + b''.join(raw for _, (_, _, raw) in sorted(elements.items())))


def items(frames, fragments):
    """Pixel data of undefined length: offset table, then each frame in `fragments` pieces (PS3.5 Section A.4)."""
    table, body = [], b''
    for frame in frames:
        frame += bytes(len(frame) % 2)
        table.append(len(body))
        step = max(2, (len(frame) // fragments + 1) // 2 * 2)
        pieces = [frame[i:i + step] for i in range(0, step * (fragments - 1), step)] + [frame[step * (fragments - 1):]]
        for piece in pieces:
            body += struct.pack('<HHI', 0xFFFE, 0xE000, len(piece)) + piece
    offsets = struct.pack(f'<{len(table)}I', *table)
    return (struct.pack('<HH2sHI', 0x7FE0, 0x0010, b'OB', 0, UNDEFINED)
            + struct.pack('<HHI', 0xFFFE, 0xE000, len(offsets)) + offsets
            + body + struct.pack('<HHI', 0xFFFE, 0xE0DD, 0))


def native_frames(elements):
    rows, columns, samples = (number(elements, tag) for tag in (ROWS, COLUMNS, SAMPLES))
    size = rows * columns * samples * number(elements, ALLOCATED) // 8
    pixels = elements[PIXELS][1]
    return [pixels[i * size:(i + 1) * size] for i in range(number(elements, FRAMES, 1))]


def raw_planes(elements, frame):
    """A frame as opj_compress reads it: plane by plane, samples of up to 8 bits in one byte."""
    samples, width = number(elements, SAMPLES), number(elements, ALLOCATED) // 8
    if samples > 1 and number(elements, PLANAR) == 0:
        pixel = samples * width
        frame = b''.join(frame[at:at + width] for sample in range(samples)
                         for at in range(sample * width, len(frame), pixel))
    return frame[::width] if number(elements, STORED) <= 8 else frame


def compress(elements, frame, lossy):
    """One frame through opj_compress, with as many resolutions (at most its own choice of 6) as the frame allows."""
    rows, columns, samples = (number(elements, tag) for tag in (ROWS, COLUMNS, SAMPLES))
    shape = '{},{},{},{},{}'.format(columns, rows, samples, number(elements, STORED),
                                    's' if number(elements, SIGNED) else 'u')
    with tempfile.TemporaryDirectory() as folder:
        raw, codestream = os.path.join(folder, 'frame.rawl'), os.path.join(folder, 'frame.j2k')
        with open(raw, 'wb') as file:
            file.write(raw_planes(elements, frame))
        command = ['opj_compress', '-i', raw, '-o', codestream, '-F', shape, '-mct', '1' if samples == 3 else '0',
                   '-n', str(min(6, min(rows, columns).bit_length()))]
        command += ['-I', '-r', '8'] if lossy else []
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0 or not os.path.exists(codestream):
            raise SystemExit(done.stdout.decode(errors='replace'))
        with open(codestream, 'rb') as file:
            return file.read()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('source')
    parser.add_argument('output')
    parser.add_argument('syntax', choices=sorted(SYNTAXES))
    parser.add_argument('--fragments', type=int, default=1)
    given = parser.parse_args()

    elements = read(given.source)
    frames = native_frames(elements)
    if given.syntax != 'uncompressed':
        lossy = given.syntax == 'j2k-lossy'
        frames = [compress(elements, frame, lossy) for frame in frames]
        if number(elements, SAMPLES) == 3:
            put(elements, PHOTOMETRIC, b'CS', 'YBR_ICT' if lossy else 'YBR_RCT')
            put(elements, PLANAR, b'US', struct.pack('<H', 0))
        if lossy:
            put(elements, LOSSY, b'CS', '01')
            put(elements, LOSSY_RATIO, b'DS', '8')
            put(elements, LOSSY_METHOD, b'CS', 'ISO_15444_1')
    put(elements, TRANSFER_SYNTAX, b'UI', SYNTAXES[given.syntax])
    elements[PIXELS] = (b'OB', None, items(frames, given.fragments))
    write(given.output, elements)


if __name__ == '__main__':
    sys.exit(main())
