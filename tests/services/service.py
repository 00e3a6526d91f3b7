"""What the services of the tests have in common: a process on loopback that is started, frozen, killed and tidied away."""
import ctypes
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


class ServiceError(Exception):
    pass


def free_port():
    """A port that nobody listens on, below those that the kernel gives to connections: a service that is down for a
    while finds it free again, and a client that tries to reach it meanwhile cannot happen to connect to itself."""
    for _ in range(1000):
        port = random.SystemRandom().randrange(15000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise ServiceError("no free port on 127.0.0.1")


def wait_until(condition, seconds, what, step=0.1):
    """Call `condition` until it gives something true, which is returned; an error that tells of `what` after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise ServiceError("not within %d s: %s" % (seconds, what() if callable(what) else what))
        time.sleep(step)


def die_with_parent():
    """For preexec_fn: a test that is killed for its time limit leaves nothing behind."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def tail(path, lines=40):
    try:
        with open(path, "rb") as file:
            return b"\n".join(file.read()[-20000:].split(b"\n")[-lines:]).decode("utf-8", "replace")
    except OSError as error:
        return "(%s)" % error


class Service:
    """One process in a session of its own. Subclasses say how it is started and when it is ready."""

    name = "service"
    ready_seconds = 60

    def __init__(self, folder=None):
        self.has_own_folder = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="niffler-%s-" % self.name)
        os.makedirs(self.folder, exist_ok=True)
        self.process = None
        self.output = os.path.join(self.folder, self.name + ".out")

    def __enter__(self):
        return self.start()

    def __exit__(self, *exception):
        self.close()

    # ---- to be said by subclasses ----

    def command(self):
        raise NotImplementedError

    def is_ready(self):
        raise NotImplementedError

    def logs(self):
        return [self.output]

    # ---- for tests ----

    def start(self):
        """Start, and wait until it serves. After kill9() or terminate(): on the same ports, with the same data."""
        assert self.process is None, "%s runs already" % self.name
        with open(self.output, "ab") as output:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                            cwd=self.folder, start_new_session=True, preexec_fn=die_with_parent)
        try:
            wait_until(self.is_ready_or_dead, self.ready_seconds, lambda: "%s serves\n%s" % (self.name, self.last_words()))
            if not self.is_running():
                raise ServiceError("%s ended with status %s\n%s"
                                   % (self.name, self.process.returncode, self.last_words()))
        except BaseException:
            self.kill9()
            raise
        return self

    def is_ready_or_dead(self):
        return not self.is_running() or self.is_ready()

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        if self.is_running():
            os.killpg(self.process.pid, number)

    def stop(self):
        """Freeze: connections stay open, and nothing is answered."""
        self.signal(signal.SIGSTOP)

    def cont(self):
        self.signal(signal.SIGCONT)

    def kill9(self):
        self.end(signal.SIGKILL)

    def terminate(self):
        self.cont()
        self.end(signal.SIGTERM)

    def restart(self):
        """Kill, and start again on the same ports with the same data."""
        self.kill9()
        return self.start()

    def end(self, number, seconds=30):
        if self.process is None:
            return
        self.signal(number)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self.process.wait()
        self.process = None

    def close(self):
        """Kill, and remove the folder if it was made here. May be called again."""
        self.kill9()
        if self.has_own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def last_words(self):
        return "\n".join("---- %s\n%s" % (path, tail(path)) for path in self.logs())



def run(served, describe, file=None):
    """For the command line: run `served`, print (and put in `file`) what `describe` says of it, until the standard input
    ends or a signal asks for the end."""
    signals = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: signals.append(number))
    try:
        with served:
            lines = describe(served)
            if file:
                with open(file + ".part", "w", encoding="utf-8") as part:
                    part.write(lines)
                os.rename(part.name, file)
            print(lines, end="", flush=True)
            while not signals and not input_has_ended():
                if not served.is_running():
                    raise ServiceError("%s ended\n%s" % (served.name, served.last_words()))
            served.terminate()
    except ServiceError as error:
        sys.stderr.write("%s: %s\n" % (served.name, error))
        sys.stderr.flush()
        sys.exit(1)


def input_has_ended():
    """Waits half a second, or until something comes."""
    return bool(select.select([0], [], [], 0.5)[0]) and not os.read(0, 4096)
