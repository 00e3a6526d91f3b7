#!/usr/bin/python3
"""check_sources.py: rules of the house that can be read off the sources.

    check_sources.py ROOT includes    who may include whom; every include of ours names its folder
    check_sources.py ROOT banned      functions that are not to be called, and who may
    check_sources.py ROOT paths       calls that could follow a link to elsewhere, and who may make them
    check_sources.py ROOT log         no text reaches the log but through log_text()
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
DECODER_ROOMS = {'dicom': (), 'codec': ('vectors.h', 'vectors_512.h'), 'image': ('codec/', 'dicom/', 'vectors.h'),
                 'render': ('codec/', 'dicom/', 'image/', 'png/', 'vectors.h'), 'png': ('vectors.h', 'vectors_512.h')}
DECODER = ('worker/decoder', *('worker/decoder/' + room for room in DECODER_ROOMS))
PRODUCT = ('', 'common', 'producer', 'worker', *DECODER, 'aggregator')

# What a folder may include, by path or by folder. The decoder reads untrusted bytes: it sees the few files that it
# needs, so that nothing else of ours runs in its process.
DECODER_MAY_INCLUDE = ('common/error.h', 'common/alloc.h', 'common/buffer.h', 'common/options.h', 'common/dictionary.h',
                       'common/utf8.h', 'worker/wire.h', 'worker/confinement.h')
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
# What opens, makes, renames or removes by a path. Below an output folder that is common/nolink.h's; the others have
# their reason.
OPENING = ('open open64 openat openat2 creat fopen freopen opendir mkdir mkdirat rename renameat renameat2 remove unlink '
           'unlinkat rmdir link linkat symlink symlinkat mkfifo mkfifoat mknod mknodat truncate chmod fchmodat chown lchown '
           'fchownat utime utimensat mkstemp mkostemp mkdtemp tmpfile access faccessat').split()
MAY_OPEN = {
    'common/nolink.c': {'open', 'openat', 'mkdirat', 'renameat', 'unlinkat'},
    'common/files.c': {'open', 'openat', 'mkdirat'},          # inputs; folders that a person names
    'common/files_write.c': {'unlinkat'},                     # a name just read from the open folder
    'producer/scan.c': {'openat'},                            # inputs, which files.h judges
    'doctor_folders.c': {'openat', 'renameat', 'unlinkat'},   # single names in its own folder, which is open
    'worker/places.c': {'open'},                              # the roots, which a person names
    'worker/draft.c': {'renameat'},                           # single names between two folders, which are open
    'worker/find_decoder.c': {'access'},
    'worker/heartbeat.c': {'open'},                           # /proc/self
    'common/metrics.c': {'fopen', 'opendir'},                 # /proc/self
    'worker/decoder/sandbox_limits.c': {'fopen'},             # /proc/self
    'worker/decoder/sandbox_privileges.c': {'fopen'},         # /proc/self
    'common/crash.c': {'open'},                               # in test builds only
    'aggregator/store.c': {'open'},                           # SQLite's temporary files, by O_EXCL
    'aggregator/aggregate_fleet.c': {'access'},
    'aggregator/jobs.c': {'faccessat'},                       # names made of a job's id, checked
    'aggregator/mail_check.c': {'open', 'access'},            # files that a person names, for reading:
    'common/settings_load.c': {'open'}, 'common/kafka_config.c': {'fopen'}, 'common/kafka_token.c': {'fopen'},
    'common/features.c': {'fopen'}, 'common/redis.c': {'open'}, 'producer/files_from.c': {'fopen'}, 'main.c': {'access'},
}
# Text in a line of the log that is ours: literals, and what these give.
OWN_TEXT = re.compile(r'log_text\(.*\)|rd_kafka_err2name\(\w+\)|.*\? "\w*" : "\w*"', re.S)
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


def calls(root, names, folders):
    """Path, line number and name of each call of one of the functions."""
    call = re.compile(r'(?<![\w.>])(' + '|'.join(names) + r')\s*\(')
    for path in sources(root, ('.c', '.h', '.cc')):
        if os.path.dirname(path) not in folders:
            continue
        code = without_comments_and_texts(read(root, path))
        for number, line in enumerate(code.split('\n'), 1):
            for match in call.finditer(line):
                yield path, number, match.group(1)


def banned(root):
    for path, number, name in calls(root, BANNED, (*PRODUCT, 'tests/samples')):
        if name not in MAY_CALL.get(path, ()):
            yield f'{path}:{number}: {name}() is banned (common/alloc.h, common/buffer.h)'


def paths(root):
    unused = {(path, name) for path, names in MAY_OPEN.items() for name in names}
    for path, number, name in calls(root, OPENING, PRODUCT):
        unused.discard((path, name))
        if name not in MAY_OPEN.get(path, ()):
            yield f'{path}:{number}: {name}() could follow a link (common/nolink.h), or give the reason in {__file__}'
    for path, name in sorted(unused):
        yield f'{path} does not call {name}(): take it off the list'


def arguments(code, at):
    """The arguments of the call whose parenthesis stands at `at`."""
    depth, start, found, quoted = 0, at + 1, [], False
    for i in range(at, len(code)):
        c = code[i]
        if c == '"' and code[i - 1] != '\\':
            quoted = not quoted
        if quoted:
            continue
        depth += (c in '([{') - (c in ')]}')
        if depth == 0 or depth == 1 and c == ',':
            found.append(code[start:i].strip())
            start = i + 1
        if depth == 0:
            return found
    raise ValueError('a call without an end')


def log(root):
    seen = 0
    for path in sources(root, ('.c', '.cc')):
        if os.path.dirname(path) not in PRODUCT or path == 'common/log.c':
            continue
        code = read(root, path)
        for match in re.finditer(r'\blog_event\(', code):
            level, module, event, fields, *values = arguments(code, match.end() - 1)
            where = f'{path}:{code.count(chr(10), 0, match.start()) + 1}'
            if not all(re.fullmatch(r'"[a-z_]+"', text) for text in (module, event)):
                yield f'{where}: module and event are literals'
            formats = re.findall(r'%[^%a-zA-Z]*(?:hh|h|ll|l|j|z|t)?([a-zA-Z])', re.sub(r'" PRI([a-z])\w+', r'\1"', fields))
            if fields != 'NULL' and (not re.match(r'^"', fields) or len(formats) != len(values)):
                yield f'{where}: its fields cannot be read: {fields}'
            for kind, value in zip(formats, values):
                seen += kind == 's'
                if kind == 's' and not OWN_TEXT.fullmatch(value):
                    yield f'{where}: {value} is not from log_text()'
    if seen < 20:
        yield f'only {seen} texts in the log: this test sees nothing'


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
    modes = {f.__name__: f for f in (includes, banned, paths, log, headers, sizes, openings)}
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
