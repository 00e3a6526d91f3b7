"""A Docker engine of the tests' own, Debian's, that leaves nothing behind.

It runs in namespaces of its own: when its first process ends, however that is, the kernel ends every other one with it,
containers among them, and its mounts, bridges and packet filters are gone. Several can run at the same time. Images and what
was built before are in a folder that is kept from one test to the next, and removed by image.py clean.
"""
import contextlib
import fcntl
import glob
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(SOURCE, "tests", "services"))
import kafka  # noqa: E402
import service  # noqa: E402

# Debian's own client: a newer one may stand before it in PATH, and then lacks the builder that this engine has.
DOCKER = "/usr/bin/docker"
SKIPPED = 77
BUILD = os.environ.get("NIFFLER_BUILD", "")
PLACE = os.path.join(os.path.abspath(BUILD), "deploy-image")  # what the tests share
DATA = os.path.join(PLACE, "data")
REASON = os.path.join(PLACE, "skipped")

# The first process reaps what containers leave behind, and outlives the engine by nothing.
INIT = 'ip link set lo up; dockerd "$@" & trap "kill $!" TERM; while kill -0 $! 2>/dev/null; do wait $!; done'


def skip(reason):
    print("skipped: " + reason)
    sys.exit(SKIPPED)


def become_root():
    """The engine needs root: this program starts itself again by sudo where it is not."""
    if os.geteuid() == 0:
        return
    keep = ["%s=%s" % (name, os.environ[name]) for name in ("NIFFLER_BUILD", "NIFFLER_CACHE", "XDG_CACHE_HOME", "PATH")
            if name in os.environ]
    keep += ["NIFFLER_CACHE=" + kafka.cache_folder()] if "NIFFLER_CACHE" not in os.environ else []
    if not shutil.which("sudo") or subprocess.run(["sudo", "-n", "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        skip("the Docker engine needs root, or sudo without a password")
    os.execvp("sudo", ["sudo", "-n", "env", *keep, sys.executable, *sys.argv])


def why_not():
    """Why no engine can run on this machine; None: it can."""
    missing = [name for name in ("dockerd", "runc", "iptables", "mmdebstrap") if not shutil.which(name)]
    if not os.path.exists(DOCKER):
        missing.append(DOCKER)
    if missing:
        return "there is no %s (deploy/install-packages.sh deploy)" % ", ".join(missing)
    tried = subprocess.run(["unshare", "--mount", "--pid", "--net", "--fork", "--mount-proc", "true"],
                           stderr=subprocess.PIPE, text=True, check=False)
    if tried.returncode != 0:
        return "no namespaces can be made here: " + tried.stderr.strip()
    return None


@contextlib.contextmanager
def locked(path):
    with open(path, "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Engine(service.Service):
    """`with Engine() as engine: engine.docker("run", …)`. With `has_network` it shares the machine's network and has none for
    containers (what a build needs); else it has one of its own, for containers alone."""

    name = "docker"
    ready_seconds = 120

    def __init__(self, has_network=False):
        sweep()
        # Short: the path of a socket may have 108 bytes.
        super().__init__(tempfile.mkdtemp(prefix="niffler-docker-", dir="/tmp"))
        self.has_own_folder = True
        self.lock = open(os.path.join(self.folder, "lock"), "w", encoding="ascii")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.has_network = has_network
        self.group = os.path.basename(self.folder)
        self.socket = os.path.join(self.folder, "s")
        self.environment = dict(os.environ, DOCKER_HOST="unix://" + self.socket, DOCKER_CONFIG=self.folder,
                                DOCKER_BUILDKIT="1")
        os.makedirs(DATA, exist_ok=True)

    def command(self):
        flags = ["--data-root", DATA, "--exec-root", os.path.join(self.folder, "run"), "-p", os.path.join(self.folder, "pid"),
                 "-H", "unix://" + self.socket, "--cgroup-parent", "/" + self.group]
        if self.has_network:
            flags += ["--bridge", "none", "--iptables=false", "--ip-forward=false"]
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
                *([] if self.has_network else ["--net"]), "sh", "-c", INIT, "init", *flags]

    def is_ready(self):
        return self.try_docker("version").returncode == 0

    def start(self):
        # One engine at a time has the folder; ctest knows, and two builds' tests have two.
        super().start()
        # What a test that was killed has left.
        for listing, removal in ((("ps", "-aq"), ("rm", "-f", "-v")), (("volume", "ls", "-q"), ("volume", "rm")),
                                 (("network", "ls", "-q", "--filter", "type=custom"), ("network", "rm"))):
            left = self.docker(*listing).split()
            if left:
                self.docker(*removal, *left)
        return self

    def try_docker(self, *arguments, seconds=600, **more):
        return subprocess.run([DOCKER, *arguments], env=self.environment, stdin=more.pop("stdin", subprocess.DEVNULL),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", timeout=seconds,
                              check=False, **more)

    def docker(self, *arguments, **more):
        """-> its standard output. Fails with ServiceError."""
        done = self.try_docker(*arguments, **more)
        if done.returncode != 0:
            raise service.ServiceError("docker %s: %d\n%s%s" % (" ".join(arguments), done.returncode, done.stdout[-4000:],
                                                                done.stderr[-8000:]))
        return done.stdout

    def has_image(self, tag):
        return self.try_docker("image", "inspect", tag).returncode == 0

    def close(self):
        """Containers first: what they wrote is then on the disk; then the engine in peace, so that its data are whole."""
        if self.is_running():
            with contextlib.suppress(service.ServiceError, subprocess.TimeoutExpired):
                left = self.docker("ps", "-aq", seconds=60).split()
                if left:
                    self.docker("rm", "-f", "-v", *left, seconds=60)
        self.end(signal.SIGTERM)
        remove_groups(self.group)
        self.lock.close()
        super().close()


def remove_groups(name):
    """The control groups of an engine's containers, which nobody is in any more."""
    for top in glob.glob("/sys/fs/cgroup/" + name) + glob.glob("/sys/fs/cgroup/*/" + name):
        for path, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(path)


def sweep():
    """Remove what engines whose test was killed have left."""
    for folder in glob.glob("/tmp/niffler-docker-*"):
        try:
            with open(os.path.join(folder, "lock"), "r+", encoding="ascii") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        remove_groups(os.path.basename(folder))
        shutil.rmtree(folder, ignore_errors=True)


# ---- images ----

BASE_DAYS = 30  # then Debian's updates are wanted in it again


def images_folder():
    folder = os.path.join(kafka.cache_folder(), "images")
    os.makedirs(folder, exist_ok=True)
    return folder


def base_tarball():
    """What stands for debian:12-slim, made of Debian's packages: this machine may reach no registry of images. It has the
    files that an engine mounts its own on, as the real one: where they are missing, old builders make them and remove them
    again, and the folder has another time."""
    path = os.path.join(images_folder(), "bookworm.tar")
    with locked(path + ".lock"):
        if os.path.exists(path) and time.time() - os.path.getmtime(path) < BASE_DAYS * 86400:
            return path
        part = path + ".part"
        done = subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "--format=tar", "--dpkgopt=path-exclude=/usr/share/man/*",
                               "--dpkgopt=path-exclude=/usr/share/locale/*", "--customize-hook=cd \"$1/etc\" && touch hosts hostname resolv.conf",
                               "bookworm", part], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            raise service.ServiceError("mmdebstrap: %d\n%s" % (done.returncode, done.stdout[-4000:]))
        os.rename(part, path)
    return path


def import_base(engine, tag):
    if not engine.has_image(tag):
        engine.docker("import", "--change", 'CMD ["/bin/bash"]', base_tarball(), tag)


def kept_image(engine, tag, sources, make):
    """An image that changes with the files `sources` and with the base only: from the cache, or made by make() and put there."""
    if engine.has_image(tag):
        return
    digest = hashlib.sha256(str(os.path.getmtime(base_tarball())).encode())
    for source in sources:
        with open(source, "rb") as file:
            digest.update(file.read())
    name = re.sub(r"\W", "-", tag)
    path = os.path.join(images_folder(), "%s-%s.tar" % (name, digest.hexdigest()[:16]))
    with locked(os.path.join(images_folder(), name + ".lock")):
        if os.path.exists(path):
            engine.docker("load", "-i", path)
            return
        make()
        engine.docker("save", "-o", path + ".part", tag)
        for old in glob.glob(os.path.join(images_folder(), name + "-*.tar")):
            os.remove(old)
        os.rename(path + ".part", path)
