"""What a run of `extract` costs, seen from outside: how long it holds each of its files open, and what memory it and its decoders
take. Sampled from /proc; a decoder's highest mark outlives the file that made it."""
import os
import threading
import time

EVERY_S = 0.005


def status_kib(pid, field):
    with open("/proc/%s/status" % pid, encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith(field + ":"):
                return int(line.split()[1])
    return 0


def children(pid):
    found = []
    for name in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/children" % (pid, name), encoding="ascii") as file:
            found += file.read().split()
    return found


def address_space(pid):
    """The limit in bytes; None: unlimited."""
    with open("/proc/%s/limits" % pid, encoding="ascii") as file:
        for line in file:
            if line.startswith("Max address space"):
                soft = line.split()[3]
                return None if soft == "unlimited" else int(soft)
    return None


class Watch:
    """Watches process `pid` until it ends: `seconds` {path: the longest time that it was open in one go}, `decoder_kib` and
    `own_kib` (the highest resident set), `limits` (address space of each decoder, once it has confined itself), `gap` (the longest
    time between two looks: so long the machine had no time for us, nor perhaps for whom we watch)."""

    def __init__(self, pid, folder):
        self.pid, self.folder = pid, folder
        self.seconds, self.decoder_kib, self.own_kib, self.limits, self.samples = {}, 0, 0, {}, 0
        self.open_since, self.last, self.gap = {}, time.monotonic(), 0
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while True:
            try:
                self.sample()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                if not os.path.exists("/proc/%d/fd" % self.pid) or not self.is_alive():
                    return
            time.sleep(EVERY_S)

    def is_alive(self):
        try:
            with open("/proc/%d/stat" % self.pid, encoding="ascii", errors="replace") as file:
                return file.read().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
        except OSError:
            return False

    def sample(self):
        now, held = time.monotonic(), set()
        self.gap, self.last = max(self.gap, now - self.last), now
        folder = "/proc/%d/fd" % self.pid
        for number in os.listdir(folder):
            try:
                path = os.readlink(os.path.join(folder, number))
            except FileNotFoundError:
                continue
            if path.startswith(self.folder + os.sep):
                held.add((number, path))
        for key in held:
            began = self.open_since.setdefault(key, now)
            self.seconds[key[1]] = max(self.seconds.get(key[1], 0), now - began)
        self.open_since = {key: began for key, began in self.open_since.items() if key in held}
        self.own_kib = max(self.own_kib, status_kib(self.pid, "VmHWM"))
        for pid in children(self.pid):
            try:
                self.decoder_kib = max(self.decoder_kib, status_kib(pid, "VmHWM"))
                self.limits[pid] = address_space(pid)
            except (FileNotFoundError, ProcessLookupError):
                continue
        self.samples += 1

    def end(self):
        self.thread.join()
