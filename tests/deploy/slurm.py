"""A Slurm of one node on loopback, for tests: Debian's munged, slurmctld and slurmd, with ports and folders of their own.

The node claims more CPUs than the machine may have: what is tested is who runs when, not how fast.
"""
import atexit
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "services"))
import service  # noqa: E402
from service import ServiceError, wait_until  # noqa: E402

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue", "sinfo", "scancel")
REQUEUE_S = 5  # how long a requeued job waits, plus one: cred_expire, which is 120 by default and cannot be less than this
CPUS, MEMORY_MB = 8, 64000

CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ctld_port}
SlurmdPort={slurmd_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire={requeue}
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1
SlurmdParameters=config_overrides
MaxArraySize={max_array_size}
KillWait=10
ReturnToService=2
MinJobAge=600
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=60 State=UP
"""


def missing():
    """What it takes to start one and is not there; an empty text where nothing is missing."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    programs = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    if programs:
        return "not installed (deploy/install-packages.sh deploy): " + ", ".join(programs)
    return "" if os.geteuid() == 0 else "slurmd is for root"


class Daemon(service.Service):
    """One of the three, in the foreground."""

    def __init__(self, slurm, name, arguments, is_ready):
        self.name = name
        self.arguments, self.asks, self.environment = arguments, is_ready, slurm.environment
        super().__init__(slurm.folder)

    def command(self):
        path = shutil.which(self.arguments[0], path="/usr/sbin:/sbin:" + os.environ.get("PATH", ""))
        return ["env", "SLURM_CONF=" + self.environment["SLURM_CONF"], path, *self.arguments[1:]]

    def is_ready(self):
        return self.asks()


class Slurm:
    """with Slurm() as slurm: slurm.run("sbatch", ...)"""

    def __init__(self, max_array_size=1001):
        self.folder = tempfile.mkdtemp(prefix="niffler-slurm-")
        os.chmod(self.folder, 0o755)
        self.daemons = []
        atexit.register(self.close)  # a test that is asked to end runs no cleanups of its own
        self.environment = {**os.environ, "SLURM_CONF": os.path.join(self.folder, "slurm.conf")}
        host = socket.gethostname().split(".")[0]
        for name in ("state", "spool"):
            os.mkdir(os.path.join(self.folder, name), 0o755)
        with open(self.environment["SLURM_CONF"], "w", encoding="ascii") as file:
            file.write(CONF.format(host=host, user=pwd.getpwuid(os.geteuid()).pw_name, folder=self.folder,
                                   ctld_port=service.free_port(), slurmd_port=service.free_port(), requeue=REQUEUE_S,
                                   max_array_size=max_array_size, cpus=CPUS, memory=MEMORY_MB))

    def __enter__(self):
        try:
            self.start_munge()
            self.begin("slurmctld", ["slurmctld", "-D", "-c"], self.controller_answers)
            self.begin("slurmd", ["slurmd", "-D", "-c"], lambda: self.run("sinfo", "-h", "-o", "%T").strip() == "idle")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exception):
        self.close()

    def begin(self, name, arguments, is_ready):
        daemon = Daemon(self, name, arguments, is_ready)
        self.daemons.append(daemon)
        daemon.start()

    def start_munge(self):
        place = lambda name: os.path.join(self.folder, name)  # noqa: E731
        with open(place("munge.key"), "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as key:
            key.write(os.urandom(128))
        self.begin("munged", ["munged", "--foreground", "--key-file=" + place("munge.key"), "--socket=" + place("munge.socket"),
                              "--pid-file=" + place("munged.pid"), "--log-file=" + place("munged.log"),
                              "--seed-file=" + place("munged.seed")], lambda: os.path.exists(place("munge.socket")))

    def controller_answers(self):
        return " UP" in self.run("scontrol", "ping", status=None).stdout

    def run(self, *words, status=0, **more):
        """Standard output of a command of Slurm's, or of one that calls them."""
        environment = {**self.environment, **more.pop("environment", {})}
        result = subprocess.run(words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                timeout=60, check=False, **more)
        if status is not None and result.returncode != status:
            raise ServiceError("%s: status %s\n%s%s" % (" ".join(words), result.returncode, result.stdout, result.stderr))
        return result.stdout if status == 0 else result

    def jobs(self):
        """{name: state} of all jobs that Slurm remembers: "17_3" for a task of an array, "18" for another job."""
        found = {}
        for line in self.run("squeue", "-h", "-r", "-t", "all", "-o", "%i %T").splitlines():
            name, state = line.split()
            found[name] = state
        return found

    def details(self, name):
        """What scontrol says of a job: {"ExitCode": "0:0", "Restarts": "1", ...}."""
        return dict(re.findall(r"(\w+)=(\S*)", self.run("scontrol", "show", "job", name)))

    def wait_for(self, seconds, *names):
        """Until these have ended; returns their states."""
        ended = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")

        def all_ended():
            jobs = self.jobs()
            mine = [jobs.get(name) for name in names]
            return mine if all(state in ended for state in mine) else None
        return wait_until(all_ended, seconds, lambda: "%s have ended: %s" % (names, self.jobs()), step=0.5)

    def close(self):
        """End all jobs, then the daemons; the folder goes."""
        if self.daemons and all(daemon.is_running() for daemon in self.daemons):
            user = "--user=" + pwd.getpwuid(os.geteuid()).pw_name
            try:
                self.run("scancel", "--state=PENDING", user, status=None)  # first, so that nothing takes the others' place
                self.run("scancel", user, status=None)
                wait_until(lambda: not self.run("squeue", "-h").strip(), 30, "all jobs have ended")
            except (ServiceError, subprocess.TimeoutExpired):
                self.print_logs()
        while self.daemons:
            self.daemons.pop().end(signal.SIGTERM)
        shutil.rmtree(self.folder, ignore_errors=True)

    def print_logs(self):
        for daemon in self.daemons:
            print("---- %s\n%s" % (daemon.name, service.tail(daemon.output)), flush=True)
