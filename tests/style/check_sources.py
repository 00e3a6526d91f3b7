#!/usr/bin/python3
"""check_sources.py: rules of the house that can be read off the sources.

    check_sources.py ROOT includes    who may include whom; every include of ours names its folder
    check_sources.py ROOT banned      functions that are not to be called, and who may
    check_sources.py ROOT headers     an include guard of the path's name, and a first sentence that names the file
    check_sources.py ROOT sizes       no file is longer than anybody wants to read
    check_sources.py ROOT openings    every program among the tests says first what it shows
"""
import os
import re
import sys

FOLDERS = ('common', 'producer', 'worker', 'aggregator', 'tests', 'bench')
# The rooms of the decoder, and what each may include besides itself: what is read, how it is packed, what image that
# makes, how it is shown, how that is written.
DECODER_ROOMS = {'dicom': (), 'codec': ('vectors.h',), 'image': ('codec/', 'dicom/', 'vectors.h'),
                 'render': ('codec/', 'dicom/', 'image/', 'png/', 'vectors.h'), 'png': ('vectors.h',)}
DECODER = ('worker/decoder', *('worker/decoder/' + room for room in DECODER_ROOMS))
PRODUCT = ('', 'common', 'producer', 'worker', *DECODER, 'aggregator')

# What a folder may include, by path or by folder. The decoder reads untrusted bytes: it sees the few files that it
# needs, so that nothing else of ours runs in its process.
DECODER_MAY_INCLUDE = ('common/error.h', 'common/alloc.h', 'common/buffer.h', 'common/options.h', 'common/dictionary.h',
                       'common/utf8.h', 'worker/wire.h')
MAY_INCLUDE = {
    'common': ('common/',),
    'producer': ('common/', 'producer/'),
    'aggregator': ('common/', 'aggregator/'),
    'worker': ('common/', 'worker/'),
    'worker/decoder': DECODER_MAY_INCLUDE + ('worker/decoder/',),
    **{f'worker/decoder/{room}': DECODER_MAY_INCLUDE + tuple('worker/decoder/' + other for other in (room + '/', *others))
       for room, others in DECODER_ROOMS.items()},
}
GENERATED_HEADERS = {'schema_sql.h': 'aggregator'}
# The files of the root join the roles: they see all.

BANNED = ('malloc calloc realloc reallocarray strdup strndup asprintf vasprintf alloca strcpy stpcpy strcat strncpy strncat '
          'sprintf vsprintf gets atoi atol atoll atof strtok localtime gmtime ctime asctime rand srand random system popen '
          'exit tmpnam mktemp').split()
MAY_CALL = {
    'common/alloc.c': {'malloc', 'calloc', 'realloc', 'vasprintf'},
    'main.c': {'exit'},
    'worker/decoder/decoder.c': {'exit'},
    'tests/samples/sample_set.c': {'exit'},
}
LONGEST = 600
LONG = 500
MAY_BE_LONG = {'common/dictionary_table.c': 'generated: a table'}


def sources(root, endings):
    """Paths relative to `root`, of the root itself and of our folders."""
    for name in sorted(os.listdir(root)):
        if name.endswith(endings) and os.path.isfile(os.path.join(root, name)):
            yield name
    for folder in FOLDERS:
        for where, folders, names in os.walk(os.path.join(root, folder)):
            folders.sort()
            for name in sorted(names):
                if name.endswith(endings):
                    yield os.path.relpath(os.path.join(where, name), root)


def read(root, path):
    with open(os.path.join(root, path), encoding='utf-8') as file:
        return file.read()


def without_comments_and_texts(code):
    """The code with comments, strings and characters blanked, line breaks kept."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    return pattern.sub(lambda match: re.sub(r'[^\n]', ' ', match.group(0)), code)


def quoted_includes(code):
    for number, line in enumerate(code.split('\n'), 1):
        match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if match:
            yield number, match.group(1)


def includes(root):
    for path in sources(root, ('.c', '.h', '.cc')):
        folder = os.path.dirname(path)
        for number, target in quoted_includes(read(root, path)):
            if target.startswith('dcmtk/'):
                continue  # DCMTK's own headers are written so
            if GENERATED_HEADERS.get(target) == folder:
                continue
            if not os.path.isfile(os.path.join(root, target)):
                yield f'{path}:{number}: "{target}" is not the path of a file, from the root of the repository'
                continue
            allowed = MAY_INCLUDE.get(folder)
            if allowed is None:
                continue
            inside = any(target == entry or entry.endswith('/') and target.startswith(entry) for entry in allowed)
            if not inside or folder == 'worker' and target.startswith('worker/decoder/'):
                yield f'{path}:{number}: {folder}/ may not include "{target}"'


def banned(root):
    call = re.compile(r'(?<![\w.>])(' + '|'.join(BANNED) + r')\s*\(')
    for path in sources(root, ('.c', '.h', '.cc')):
        folder = os.path.dirname(path)
        if folder not in PRODUCT and folder != 'tests/samples':
            continue
        code = without_comments_and_texts(read(root, path))
        for number, line in enumerate(code.split('\n'), 1):
            for match in call.finditer(line):
                if match.group(1) not in MAY_CALL.get(path, ()):
                    yield f'{path}:{number}: {match.group(1)}() is banned (common/alloc.h, common/buffer.h)'


def headers(root):
    for path in sources(root, ('.h',)):
        text = read(root, path)
        name = os.path.basename(path)
        if not re.match(r'/\* ' + re.escape(name) + r': \S', text):
            yield f'{path}: does not begin with "/* {name}: " and a sentence'
        guard = 'NIFFLER_' + re.sub(r'[^A-Z0-9]', '_', path.upper())
        lines = [line for line in without_comments_and_texts(text).split('\n') if line.strip()]
        if len(lines) < 3 or lines[0].split() != ['#ifndef', guard] or lines[1].split() != ['#define', guard]:
            yield f'{path}: is not guarded by {guard}'
        elif lines[-1].split()[:1] != ['#endif']:
            yield f'{path}: something stands behind the guard'


def sizes(root):
    for path in sources(root, ('.c', '.h', '.cc', '.py', '.sh')):
        lines = read(root, path).count('\n')
        if path in MAY_BE_LONG:
            continue
        if lines > LONGEST:
            yield f'{path}: {lines} lines; {LONGEST} are the most'
        elif lines > LONG:
            print(f'note: {path} has {lines} lines, more than about {LONG}')


def openings(root):
    starts = {'.c': '/* ', '.py': '"""', '.sh': '# '}
    for path in sources(root, tuple(starts)):
        if not path.startswith(('tests/', 'bench/')):
            continue
        text = re.sub(r'\A#![^\n]*\n', '', read(root, path))
        if not text.startswith(starts[os.path.splitext(path)[1]]):
            yield f'{path}: does not begin with a comment that says what it shows'


def main():
    modes = {f.__name__: f for f in (includes, banned, headers, sizes, openings)}
    if len(sys.argv) != 3 or sys.argv[2] not in modes or not os.path.isfile(os.path.join(sys.argv[1], 'main.c')):
        raise SystemExit(__doc__)
    root = sys.argv[1]
    if len(list(sources(root, ('.c', '.h')))) < 60:
        raise SystemExit('check_sources.py: where are the sources?')
    complaints = list(modes[sys.argv[2]](root))
    for complaint in complaints:
        print(complaint)
    return 1 if complaints else 0


if __name__ == '__main__':
    sys.exit(main())
