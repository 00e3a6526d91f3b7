#!/usr/bin/python3
"""lint.py: clang-tidy and cppcheck find nothing in the C sources of the product, but what is listed here with its reason.

    lint.py tidy|cppcheck SOURCE_FOLDER BUILD_FOLDER

clang-tidy takes some seconds for a file, on every core: what it said is kept in BUILD_FOLDER/lint by a digest of the file as
the preprocessor leaves it, so that it looks only at what has changed.
"""
import concurrent.futures
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys

PRODUCT = re.compile(r'([a-z_]+|(common|producer|worker|aggregator)/[a-z_0-9/]+)\.c')
GENERATED = {'common/dictionary_table.c'}  # a table of 5000 lines

# (file, check, reason): each is a false alarm, and must still be raised, or it is to be taken off the list.
TIDY_ACCEPTED = [
    ('common/buffer.h', 'clang-analyzer-core.NonNullParamChecker', 'buffer_reserve() leaves no NULL, which it does not see'),
    # It takes `*x = (struct x){...}` for something that leaves what was freed in its place.
    ('common/queue_kafka_receive.c', 'clang-analyzer-unix.Malloc', 'detach() moves the list on'),
    ('worker/places.c', 'clang-analyzer-unix.Malloc', 'clear() sets all to NULL'),
    ('worker/decoder/image/fragments.c', 'clang-analyzer-unix.Malloc', 'reset() sets all to NULL'),
    # A fourth component or sample, of which there are at most three.
    ('worker/decoder/codec/codec_jpegls_line.c', 'clang-analyzer-core.CallAndMessage', 'JPEGLS_COMPONENTS, checked'),
    ('worker/decoder/render/render_window.c', 'clang-analyzer-core.uninitialized.Assign', 'render_window_plan() says 1 or 3'),
    ('worker/decoder/codec/codec_jpegls_line.c', 'bugprone-signed-char-misuse,cert-str34-c', 'a small number with a sign'),
    ('worker/decoder/codec/jpeg_huffman.c', 'misc-redundant-expression', 'the second look-up is another one'),
]
CPPCHECK_ACCEPTED = [
    ('worker/decoder/codec/jpeg2000_mq.h', 'shiftTooManyBitsSigned', 'gcc and clang shift the sign in'),
    ('worker/decoder/codec/jpeg2000_block_mq.c', 'shiftTooManyBitsSigned', 'the same'),
    ('worker/decoder/codec/codec_jpegls_line.c', 'shiftTooManyBitsSigned', 'gcc and clang shift the sign in'),
    ('worker/decoder/codec/jpeg_huffman.c', 'shiftTooManyBitsSigned', 'the same'),
    ('worker/decoder/png/pngout_huffman.c', 'uninitvar', 'the loop above fills all that is read'),
    ('worker/decoder/render/render_window.c', 'constStatement', 'a compound literal, which it takes for a statement'),
]


def files(source, build):
    """Path below the source folder -> its entry in the database of commands."""
    with open(os.path.join(build, 'compile_commands.json'), encoding='utf-8') as file:
        entries = json.load(file)
    found = {}
    for entry in entries:
        path = os.path.relpath(entry['file'], source)
        if PRODUCT.fullmatch(path) and path not in GENERATED:
            found.setdefault(path, entry)
    if len(found) < 140:
        raise SystemExit(f'lint.py: only {len(found)} sources in {build}: where are they?')
    return found


def run(command, **more):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, **more)


def digest(source, entry, version):
    """Of everything that what clang-tidy says depends on."""
    words = [word for word in shlex.split(entry['command']) if word != 'ccache']
    at = words.index('-o')
    preprocessed = run([*words[:at], *words[at + 2:], '-E', '-P'], cwd=entry['directory'])
    if preprocessed.returncode != 0:
        raise SystemExit(f"lint.py: {entry['file']} cannot be preprocessed: {preprocessed.stderr.decode()}")
    with open(os.path.join(source, '.clang-tidy'), 'rb') as file:
        rules = file.read()
    with open(entry['file'], 'rb') as file:
        text = file.read()  # line numbers, and comments that say NOLINT
    return hashlib.sha256(b'\0'.join((version, rules, text, preprocessed.stdout))).hexdigest()


def tidy_one(source, build, path, entry, version):
    """[(path, line, check, text)] of one file."""
    kept = os.path.join(build, 'lint', digest(source, entry, version))
    if not os.path.exists(kept):
        done = run(['clang-tidy', '-p', build, '--quiet', entry['file']])
        text = done.stdout.decode()
        if done.returncode != 0 and not re.search(r'(warning|error):', text):
            raise SystemExit(f'lint.py: clang-tidy fails at {path}: {done.stderr.decode()}')
        with open(kept + '.new', 'w', encoding='utf-8') as file:
            file.write(text)
        os.replace(kept + '.new', kept)
    with open(kept, encoding='utf-8') as file:
        text = file.read()
    return [(os.path.relpath(where, source), int(line), check, words)
            for where, line, words, check in re.findall(r'^(\S+):(\d+):\d+: (?:warning|error): (.*) \[([^]\n]*?)'
                                                        r'(?:,-warnings-as-errors)?\]$', text, re.M)]


def tidy(source, build):
    os.makedirs(os.path.join(build, 'lint'), exist_ok=True)
    version = run(['clang-tidy', '--version']).stdout
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        answers = pool.map(lambda item: tidy_one(source, build, *item, version), sorted(files(source, build).items()))
        return sorted(set(sum(answers, [])))


def cppcheck(source, build):
    entries = files(source, build)
    folder = os.path.join(build, 'lint', 'cppcheck')
    os.makedirs(folder, exist_ok=True)
    project = os.path.join(build, 'lint', 'cppcheck.json')
    with open(project, 'w', encoding='utf-8') as file:
        json.dump(list(entries.values()), file)
    done = run(['cppcheck', '--project=' + project, '--cppcheck-build-dir=' + folder, f'-j{os.cpu_count()}', '--std=c11',
                '--enable=warning,performance,portability', '--quiet', '--template={file}:{line}:{id}:{message}'])
    found = re.findall(r'^([^:\n]+):(\d+):(\w+):(.*)$', done.stderr.decode(), re.M)
    if done.returncode != 0 or (done.stderr and not found):
        raise SystemExit(f'lint.py: cppcheck fails: {done.stdout.decode()}{done.stderr.decode()}')
    return sorted({(os.path.relpath(path, source), int(line), check, text) for path, line, check, text in found})


def main():
    tools = {'tidy': (tidy, TIDY_ACCEPTED), 'cppcheck': (cppcheck, CPPCHECK_ACCEPTED)}
    if len(sys.argv) != 4 or sys.argv[1] not in tools:
        raise SystemExit(__doc__)
    tool, accepted = tools[sys.argv[1]]
    unused = {(path, check) for path, check, _ in accepted}
    failed = False
    for path, line, check, text in tool(os.path.abspath(sys.argv[2]), os.path.abspath(sys.argv[3])):
        if any(path == known and check == rule for known, rule, _ in accepted):
            unused.discard((path, check))
            continue
        print(f'{path}:{line}: {text} [{check}]')
        failed = True
    for path, check in sorted(unused):
        print(f'{path}: {check} is not found any more: take it off the list in {__file__}')
        failed = True
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
