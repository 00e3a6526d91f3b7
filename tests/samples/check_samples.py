#!/usr/bin/python3
"""check_samples.py: the sample data set is the same everywhere, and valid.

    check_samples.py GENERATOR same        two runs give the same bytes, which are those of samples.sha256
    check_samples.py GENERATOR groups      each group made alone equals its part of the whole; another seed differs
    check_samples.py GENERATOR valid       dcmdump reads all that is whole, and pixel data is as long as the header says
    check_samples.py GENERATOR pictures    DCMTK renders every picture, with the header's rows and columns
    check_samples.py GENERATOR compressed  compress.sh makes every variant, and the lossless ones decode to their source
    check_samples.py GENERATOR extras      the matrix and the windows: two runs give the same bytes, and dcmdump reads them
    check_samples.py GENERATOR write       writes samples.sha256 anew: after a change that was meant
"""
import hashlib
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SUMS = os.path.join(HERE, 'samples.sha256')
GROUPS = 'ct mr dx us palette seg depth sr text nested syntax broken'.split()
# What DCMTK 3.6.7 cannot render: segmented palettes, and floating point pixel data.
NOT_RENDERED = ('S0001_PALETTE/IM0003.dcm', 'S0001_FLOAT/')


def generate(generator, folder, *more):
    manifest = os.path.join(folder, 'manifest.tsv')
    output = os.path.join(folder, 'samples')
    subprocess.run([generator, output, '--ct', '4', '--manifest', manifest, *more], check=True,
                   stdout=subprocess.DEVNULL)
    with open(manifest, encoding='utf-8') as file:
        rows = [line.rstrip('\n').split('\t') for line in file]
    return output, rows


def sums_of(folder):
    sums = {}
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            with open(path, 'rb') as file:
                sums[os.path.relpath(path, folder)] = hashlib.sha256(file.read()).hexdigest()
    return sums


def committed():
    with open(SUMS, encoding='ascii') as file:
        return {path: digest for digest, path in (line.rstrip('\n').split('  ') for line in file)}


def run(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)


def attributes(path):
    """The top-level attributes of dcmdump, as text by tag."""
    done = run('dcmdump', '-q', '-M', path)
    found = {}
    for line in done.stdout.decode('latin-1').splitlines():
        match = re.match(r'\(([0-9a-f]{4},[0-9a-f]{4})\) (..) (.*?) *#', line)
        if match:
            found[match.group(1)] = match.group(3).strip('[]')
    return done.returncode, found


def check(ok, complaint):
    if not ok:
        raise SystemExit(f'check_samples.py: {complaint}')


def same(generator, folder):
    first, rows = generate(generator, os.path.join(folder, 'a'))
    second, again = generate(generator, os.path.join(folder, 'b'))
    sums = sums_of(first)
    check(rows == again, 'two manifests differ')
    check(sums == sums_of(second), 'two runs differ')
    check(sorted(sums) == sorted(row[0] for row in rows), 'the manifest and the files differ')
    expected = committed()
    differing = sorted(path for path in set(sums) | set(expected) if sums.get(path) != expected.get(path))
    check(not differing, 'not as in samples.sha256: ' + ', '.join(differing))


def groups(generator, folder):
    whole, rows = generate(generator, os.path.join(folder, 'whole'))
    sums = sums_of(whole)
    seen = 0
    for group in GROUPS:
        alone, _ = generate(generator, os.path.join(folder, group), '--only', group)
        part = sums_of(alone)
        check(part == {row[0]: sums[row[0]] for row in rows if row[1] == group}, f'the group {group} differs alone')
        seen += len(part)
    check(seen == len(sums), 'a group is missing from the list')
    other, _ = generate(generator, os.path.join(folder, 'other'), '--seed', '2')
    changed = [path for path, digest in sums_of(other).items() if digest != sums[path]]
    check(len(changed) > len(sums) * 8 // 10, 'another seed gives the same files')


def valid(generator, folder):
    output, rows = generate(generator, folder)
    for path, _, kind, frames, _ in rows:
        if kind not in ('image', 'no_image'):
            continue
        done, found = attributes(os.path.join(output, path))
        check(done == 0, f'dcmdump refuses {path}')
        check(found.get('0020,000d', '').startswith('2.25.'), f'{path} has no study')
        if kind == 'no_image':
            check('7fe0,0010' not in found, f'{path} has pixel data')
            continue
        check(int(found.get('0028,0008', '1')) == int(frames), f'the frames of {path} and of the manifest differ')
        size = run('dcmdump', '-q', os.path.join(output, path)).stdout.decode('latin-1')
        match = re.search(r'^\(7fe0,00(?:10|08|09)\).*# *(\d+|u/l), *\d+ ', size, re.M)
        check(match is not None, f'{path} has no pixel data')
        if match.group(1) == 'u/l':
            check(size.count('\n  (fffe,e000) pi ') == 1 + int(frames), f'{path} has not a fragment for each frame')
            continue
        bits = (int(found['0028,0010']) * int(found['0028,0011']) * int(found['0028,0002'])
                * int(found['0028,0100']) * int(frames))
        if found['0028,0004'] == 'YBR_FULL_422':
            bits = bits * 2 // 3
        expected = (bits + 7) // 8
        check(int(match.group(1)) == expected + expected % 2, f'{path}: pixel data of {match.group(1)} bytes')


def png_shape(path):
    with open(path, 'rb') as file:
        start = file.read(24)
    check(start[:8] == b'\x89PNG\r\n\x1a\n', f'{path} is no PNG')
    return int.from_bytes(start[16:20], 'big'), int.from_bytes(start[20:24], 'big')


def pictures(generator, folder):
    output, rows = generate(generator, folder)
    picture = os.path.join(folder, 'picture.png')
    rendered = 0
    for path, _, kind, frames, _ in rows:
        if kind != 'image' or any(part in path for part in NOT_RENDERED):
            continue
        file = os.path.join(output, path)
        _, found = attributes(file)
        done = run('dcmj2pnm', '+on', '+F', frames, file, picture)
        check(done.returncode == 0, f'dcmj2pnm refuses {path}: {done.stdout.decode(errors="replace")}')
        check(png_shape(picture) == (int(found['0028,0011']), int(found['0028,0010'])), f'{path}: another shape')
        rendered += 1
    check(rendered >= 60, f'only {rendered} pictures were rendered')


def pixel_data(path, folder):
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
    run('dcmdump', '-q', '+W', folder, path)
    names = sorted(os.listdir(folder))
    check(len(names) == 1, f'{path}: {len(names)} values of pixel data')
    with open(os.path.join(folder, names[0]), 'rb') as file:
        return file.read()


def compressed(generator, folder):
    output, _ = generate(generator, folder)
    variants = os.path.join(folder, 'variants')
    done = run(os.path.join(HERE, 'compress.sh'), output, variants)
    check(done.returncode == 0, done.stdout.decode(errors='replace'))
    made = sum(len(names) for _, _, names in os.walk(variants))
    check(made == 65, f'compress.sh made {made} files')
    raw = os.path.join(folder, 'raw')
    os.mkdir(raw)
    sources = dict(re.findall(r'^ +(\w+)\) +echo "([^"]+)"', open(os.path.join(HERE, 'compress.sh')).read(), re.M))
    for encoding, decode in (('rle', 'dcmdrle'), ('jpegls', 'dcmdjpls'), ('jpeg_lossless_sv1', 'dcmdjpeg'),
                             ('jpeg_lossless', 'dcmdjpeg'), ('jpeg_fragments', 'dcmdjpeg'), ('deflated', 'dcmconv')):
        for name in sorted(os.listdir(os.path.join(variants, encoding))):
            plain = os.path.join(folder, 'plain.dcm')
            options = {'dcmdjpls': ['+px'], 'dcmdjpeg': ['+px'], 'dcmconv': ['+te'], 'dcmdrle': []}[decode]
            result = run(decode, *options, os.path.join(variants, encoding, name), plain)
            check(result.returncode == 0, f'{decode}: {encoding}/{name}: {result.stdout.decode(errors="replace")}')
            source = os.path.join(output, sources[name[:-4]])
            check(pixel_data(plain, raw) == pixel_data(source, raw), f'{encoding}/{name} is not its source')


def extras(generator, folder):
    for what, least in ((['--matrix'], 3300), (['--only', 'windows'], 36)):
        first, second = (os.path.join(folder, name, what[-1]) for name in ('a', 'b'))
        for output in (first, second):
            subprocess.run([generator, output, *what], check=True, stdout=subprocess.DEVNULL)
        sums = sums_of(first)
        check(sums == sums_of(second), f'two runs of {what[-1]} differ')
        files = sorted(path for path in sums if path.endswith('.dcm'))
        check(len(files) >= least, f'{what[-1]} has {len(files)} files')
        for at in range(0, len(files), 500):
            done = run('dcmdump', '-q', *(os.path.join(first, path) for path in files[at:at + 500]))
            check(done.returncode == 0, done.stdout.decode(errors='replace')[-2000:])


def write(generator, folder):
    output, _ = generate(generator, folder)
    with open(SUMS, 'w', encoding='ascii') as file:
        for path, digest in sorted(sums_of(output).items()):
            file.write(f'{digest}  {path}\n')


def main():
    modes = {f.__name__: f for f in (same, groups, valid, pictures, compressed, extras, write)}
    if len(sys.argv) != 3 or sys.argv[2] not in modes:
        raise SystemExit(__doc__)
    with tempfile.TemporaryDirectory(prefix='niffler-samples-') as folder:
        for sub in ['a', 'b', 'whole', 'other'] + GROUPS:
            os.mkdir(os.path.join(folder, sub))
        modes[sys.argv[2]](sys.argv[1], folder)


if __name__ == '__main__':
    main()
