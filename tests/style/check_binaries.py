#!/usr/bin/python3
"""check_binaries.py: rules of the house that can be read off the build's products.

    check_binaries.py globals LIBRARY...       no variable that can change, but those listed here with their reason
    check_binaries.py links PROGRAM DECODER    what the two programs need at run time, and what they must not
    check_binaries.py hardened PROGRAM...      what makes a mistake harder to use: read off the programs of any build
    check_binaries.py fortified PROGRAM...     the same, and what only optimised builds have
    check_binaries.py tests BUILD_FOLDER       every test: a name of its own, a group, its label, a time limit
"""
import json
import re
import subprocess
import sys

# (object, variable, reason). log.c is the one module with state: where lines go.
MAY_CHANGE = [
    (r'log\.c\.o', r'.*', 'where lines go, and the texts of log_text() by thread'),
    (r'curl_library\.c\.o', r'library|is_loaded|reason|once', 'libcurl, which is loaded once in a process'),
    (r'crash\.c\.o', r'visits\.\d+', 'how often a place was passed; in test builds only'),
    (r'codec_dcmtk\.cc\.o', r'_ZStL8__ioinit', "the C++ library's own, from <iostream>"),
    (r'.*\.cc\.o', r'DW\.ref\..*', 'a pointer that the linker fills in, for exceptions'),
]
# The decoder is the only C++; the main program is the only one that talks to anybody. libcurl it loads (curl_library.h).
FORBIDDEN = {
    'program': r'libstdc\+\+|libcurl|libdcm|libofstd|liboflog|libij|libcharls|libopenjp2|libjpeg|libjxl|libpng',
    'decoder': r'libcharls|libcurl|libjansson|libsqlite3|librdkafka|libhiredis|libmicrohttpd|libcrypto|libssl',
}
NEEDED = {'program': r'libsqlite3', 'decoder': r'libopenjp2'}
# Needs a corpus that is not part of the repository, or tools that are no Debian packages; ctest names it as skipped where they
# are absent.
MAY_BE_SKIPPED = r'e2e\.(corpus(_restore|_window)?|fleet)\.Corpus|deploy\..*'
GROUPS = ('unit', 'contract', 'fault', 'e2e', 'samples', 'style', 'fuzz-replay', 'bench', 'deploy')


def output(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode()


def changeable(library):
    """(object, variable) of everything in a writable section that is not constant after relocation."""
    member = ''
    for line in output('objdump', '-t', library).splitlines():
        match = re.match(r'(\S+\.o): +file format', line)
        if match:
            member = match.group(1)
            continue
        match = re.match(r'[0-9a-f]+ (.{7}) (\S+)\s+[0-9a-f]+ (?:\.hidden )?(\S+)$', line)
        if not match or match.group(3).startswith('.'):
            continue
        section = match.group(2)
        if re.match(r'\.(data|bss|tdata|tbss)(\.|$)|\*COM\*', section) and not section.startswith('.data.rel.ro'):
            yield member, match.group(3)


def check_globals(libraries):
    found = 0
    for library in libraries:
        if 'file format' not in output('objdump', '-t', library):
            yield f'{library}: no objects in it'
        for member, variable in changeable(library):
            allowed = [i for i, (where, what, _) in enumerate(MAY_CHANGE)
                       if re.fullmatch(where, member) and re.fullmatch(what, variable)]
            found += bool(allowed)
            if not allowed:
                yield f'{library}({member}): the variable {variable} can change'
    if found == 0:
        yield 'not even log.c has a variable: this test sees nothing'


def check_links(programs):
    for role, path in zip(('program', 'decoder'), programs):
        needed = re.findall(r'\(NEEDED\).*\[(.*)\]', output('readelf', '-d', path))
        for library in needed:
            if re.match(FORBIDDEN[role], library):
                yield f'{path} needs {library}'
        if not any(re.match(NEEDED[role], library) for library in needed):
            yield f'{path} does not need {NEEDED[role]}: is it the right program?'


def check_hardened(programs):
    """As checksec does: position-independent, all relocated before the start and then read-only, no stack that runs code or
    library beside the program, canaries on the stack, and landing pads for indirect calls where the machine has them."""
    machine = {'Advanced Micro Devices X86-64': r'\bendbr64\b', 'AArch64': r'\b(bti|paciasp)\b'}
    for path in programs:
        head, segments, dynamic = (output('readelf', flag, path) for flag in ('-hW', '-lW', '-dW'))
        if not re.search(r'Type: +DYN ', head) or 'PIE' not in dynamic:
            yield f'{path} is not position-independent'
        if 'GNU_RELRO' not in segments:
            yield f'{path} leaves its tables of functions writable'
        if not re.search(r'BIND_NOW|Flags:.*\bNOW\b', dynamic):
            yield f'{path} looks its functions up while it runs'
        if not re.search(r'GNU_STACK.* RW ', segments):
            yield f'{path} has a stack that can run code'
        if re.search(r'LOAD.* RWE ', segments):
            yield f'{path} has memory that can be written and run'
        if re.search(r'\((RPATH|RUNPATH|TEXTREL)\)', dynamic):
            yield f'{path} takes libraries from a folder of its own, or patches its code'
        if '__stack_chk_fail' not in output('nm', '-D', path):
            yield f'{path} has no canaries on its stack'
        for name, pad in machine.items():
            if name in head and not re.search(pad, output('objdump', '-d', '--disassemble=main', path)):
                yield f'{path} has no landing pads for indirect calls'


def check_fortified(programs):
    yield from check_hardened(programs)
    for path in programs:
        if len(re.findall(r' U __\w+_chk\b', output('nm', '-D', path))) < 4:
            yield f'{path} does not check the sizes of what it copies (_FORTIFY_SOURCE)'


def check_tests(folders):
    listed = json.loads(output('ctest', '--test-dir', folders[0], '--show-only=json-v1'))['tests']
    names = [test['name'] for test in listed]
    for name in sorted(set(names)):
        if names.count(name) > 1:
            yield f'{name}: {names.count(name)} tests of this name'
    for test in listed:
        name = test['name']
        properties = {entry['name']: entry['value'] for entry in test.get('properties', [])}
        group = name.split('.')[0]
        if not re.fullmatch(r'[a-z0-9-]+\.[A-Za-z0-9_.]+', name) or group not in GROUPS:
            yield f'{name}: a name is group.subject, of the groups ' + ' '.join(GROUPS)
        elif group not in properties.get('LABELS', []):
            yield f'{name}: has not the label {group}'
        if not 0 < properties.get('TIMEOUT', 0) <= 1200:
            yield f'{name}: has no time limit, or one above 20 minutes'
        if properties.get('DISABLED') or properties.get('WILL_FAIL'):
            yield f'{name}: is disabled, or expected to fail'
        if 'SKIP_RETURN_CODE' in properties and not re.match(MAY_BE_SKIPPED, name):
            yield f'{name}: can be skipped'
    if len(names) < 20:
        yield f'only {len(names)} tests: where are they?'


def main():
    modes = {'globals': check_globals, 'links': check_links, 'hardened': check_hardened, 'fortified': check_fortified,
             'tests': check_tests}
    if len(sys.argv) < 3 or sys.argv[1] not in modes:
        raise SystemExit(__doc__)
    complaints = list(modes[sys.argv[1]](sys.argv[2:]))
    for complaint in complaints:
        print(complaint)
    return 1 if complaints else 0


if __name__ == '__main__':
    sys.exit(main())
