#!/usr/bin/python3
"""What a fleet costs: against `extract`, measured in the same run, and against fixed rates, over a real Kafka broker on this
machine. Medians of paired runs A B A B; CPU time is that of a process and its children. Machines differ and are noisy:
quote the ratios, and look at the load that is printed.

usage: bench/fleet.py [--build FOLDER] [--full] [--only NAME]...

Needs what the tests need (deploy/install-packages.sh test). The parts, by NAME: cpu, wall, dispatch, memory, redis,
aggregator, tables. --full: tables of 1,000,000 and 10,000,000 records instead of 100,000 and 1,000,000; that takes about
6 GB of disk in TMPDIR. Exit status 1 when a goal is missed."""
import argparse
import http.client
import os
import secrets
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "services"))
import kafka  # noqa: E402
import service  # noqa: E402

PAIRS = 5
CPU_PAIRS = 9  # one differs from the next by a tenth
PARTITIONS = 4
PATIENCE = 300
DECODERS = min(2, os.cpu_count() or 1)
NOBODY = "redis://127.0.0.1:1"  # where no Redis is
BEING_MADE = (3, 6)  # Kafka's errors for a partition that is
missed = []


def report(what, figure, goal, met):
    print("%-66s %-26s %s" % (what, figure, "goal %s%s" % (goal, "" if met else "   MISSED")), flush=True)
    if not met:
        missed.append(what)


def note(what, figure):
    print("%-66s %s" % ("  " + what, figure), flush=True)


class Cost:
    """CPU and wall-clock seconds."""

    def __init__(self, cpu=0.0, wall=0.0):
        self.cpu, self.wall = cpu, wall


class Role:
    """A niffler-png process. `cost.cpu` is known after end(): its own, and that of the decoders, which it waits for."""

    def __init__(self, bench, command, *arguments):
        self.port = service.free_port()
        self.began = time.monotonic()
        self.cost = None
        self.log = open(os.path.join(bench.work, "%s.log" % command), "ab")
        if command != "produce":
            arguments += ("--MetricsListen", "127.0.0.1:%d" % self.port)
        self.popen = subprocess.Popen([bench.program, command, *arguments], stdin=subprocess.DEVNULL,
                                      stdout=subprocess.PIPE if command == "produce" else self.log, stderr=self.log,
                                      preexec_fn=service.die_with_parent)
        bench.roles.append(self)

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            reply = connection.getresponse()
            return reply.status, reply.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()

    def wait_ready(self):
        service.wait_until(lambda: self.get("/readyz")[0] == 200, PATIENCE, "a role is ready")
        return self

    def metric(self, name):
        return sum(float(line.rsplit(" ", 1)[1]) for line in self.get("/metrics")[1].split("\n")
                   if line.startswith((name + " ", name + "{")))

    def wait_metric(self, name, value, step=0.05):
        service.wait_until(lambda: self.metric(name) >= value, PATIENCE, "%s %d" % (name, value), step)

    def cpu_now(self):
        """Of the process alone, without children that run."""
        with open("/proc/%d/stat" % self.popen.pid, encoding="ascii") as file:
            fields = file.read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self, ask=True, allowed=(0,)):
        if self.cost is None:
            if ask:
                self.popen.send_signal(signal.SIGTERM)
            _, status, usage = os.wait4(self.popen.pid, 0)
            self.popen.returncode = os.waitstatus_to_exitcode(status)
            self.cost = Cost(usage.ru_utime + usage.ru_stime, time.monotonic() - self.began)
            self.log.close()
            if self.popen.returncode not in allowed:
                raise service.ServiceError("%s: exit status %d" % (self.popen.args[1], self.popen.returncode))
        return self.cost

    def children(self):
        with open("/proc/%d/task/%d/children" % (self.popen.pid, self.popen.pid), encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]


def rss_kb(pid):
    try:
        with open("/proc/%d/status" % pid, encoding="ascii") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("VmRSS:")), 0)
    except OSError:
        return 0


class Job:
    """One job from its producer's start until its tables are there."""

    def __init__(self, bench, home, *flags, topics=None, produced=()):
        self.bench = bench
        self.home = home
        self.tag = topics or secrets.token_hex(4)
        self.out_root = os.path.join(bench.work, "out-" + self.tag)
        self.out = os.path.join(self.out_root, "job")
        self.state = os.path.join(bench.work, "state-" + self.tag)
        self.flags = ["--KafkaBrokers", bench.broker.brokers, "--InputRoot", bench.work, "--OutputRoot", self.out_root,
                      "--KafkaTasksTopic", "tasks-" + self.tag, "--KafkaResultsTopic", "results-" + self.tag,
                      "--KafkaDeadTopic", "dead-" + self.tag, "--KafkaWorkerGroup", "workers-" + self.tag,
                      "--KafkaAggregatorGroup", "aggregators-" + self.tag, *flags]
        self.produced = produced
        os.mkdir(self.out_root)
        names = [kind + self.tag for kind in ("tasks-", "results-", "dead-")]
        bench.broker.create_topics(*names, partitions=PARTITIONS)
        service.wait_until(lambda: all(bench.end_of(name) == 0 for name in names), PATIENCE, "the topics are there")

    def work(self):
        return Role(self.bench, "work", "--UseProcesses", str(DECODERS), *self.flags)

    def aggregate(self, *more):
        return Role(self.bench, "aggregate", "--StateDirectory", self.state, *self.flags, *more)

    def produce(self):
        """Start it; -> the process, when it has begun to publish."""
        producer = Role(self.bench, "produce", "--DICOMHome", self.home, "--OutputDirectory", self.out, *self.flags,
                        *self.produced)
        self.id = producer.popen.stdout.readline().decode().strip()
        self.published = time.monotonic()
        if not self.id:
            raise service.ServiceError("produce failed: %s" % service.tail(producer.log.name, 5))
        return producer

    def wait_complete(self):
        mark = os.path.join(self.out, ".niffler-png", "open")
        service.wait_until(lambda: not os.path.exists(mark), PATIENCE, "the job is complete", 0.005)
        return time.monotonic()

    def wait_results(self, count, step=0.1):
        """Until so many messages are in the topic of results: asked of the broker, so that no role pays for it."""
        service.wait_until(lambda: self.bench.end_of("results-" + self.tag) >= count, PATIENCE, "the results", step)

    def tidy(self):
        self.bench.end_roles()
        for folder in (self.out_root, self.state):
            shutil.rmtree(folder, ignore_errors=True)


class Bench:
    def __init__(self, build, full):
        self.build, self.full = build, full
        self.program = os.path.join(build, "niffler-png")
        self.records = os.path.join(build, "bench", "bench_records")
        # In memory where that is to be had: what the disk writes back of one run would be counted in the next.
        memory = "/dev/shm" if os.path.isdir("/dev/shm") and shutil.disk_usage("/dev/shm").free > 8 << 30 else None
        self.work = tempfile.mkdtemp(prefix="niffler-fleet-bench-", dir=memory)
        self.broker_folder = tempfile.mkdtemp(prefix="niffler-fleet-bench-kafka-")
        self.broker = None
        self.roles = []

    def start(self):
        self.broker = kafka.Kafka(self.broker_folder).start()

    def close(self):
        self.kill_roles()
        if self.broker:
            self.broker.close()
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.rmtree(self.broker_folder, ignore_errors=True)

    def end_roles(self):
        for role in self.roles:
            role.end()
        self.roles.clear()

    def kill_roles(self):
        for role in self.roles:
            if role.cost is None and role.popen.poll() is None:
                role.popen.kill()
                role.popen.wait()
        self.roles.clear()

    def end_of(self, topic):
        """How many messages a topic has, -1 while it is being made: ListOffsets, version 1, of each partition."""
        wanted = b"".join(struct.pack(">iq", partition, -1) for partition in range(PARTITIONS))
        body = struct.pack(">ii", -1, 1) + kafka.text(topic) + struct.pack(">i", PARTITIONS) + wanted
        reply = kafka.ask(self.broker.port, 2, 1, body)
        at, total = 4 + 2 + len(topic) + 4, 0
        for _ in range(PARTITIONS):
            _, error, _, offset = struct.unpack(">ihqq", reply[at:at + 22])
            if error in BEING_MADE:
                return -1
            if error != 0:
                raise service.ServiceError("ListOffsets of %s: error %d" % (topic, error))
            total, at = total + offset, at + 22
        return total

    # ---- inputs ----

    def samples(self, group, *arguments):
        home = os.path.join(self.work, group)
        if not os.path.isdir(home):
            subprocess.run([os.path.join(self.build, "niffler-png-samples"), home, "--only", group, *arguments], check=True,
                           stdout=subprocess.DEVNULL)
        return home

    def links(self, group, count):
        """A folder of so many names of one file."""
        source = next(os.path.join(path, names[0]) for path, _, names in os.walk(self.samples(group)) if names)
        home = os.path.join(self.work, "%s-%d" % (group, count))
        if not os.path.isdir(home):
            for number in range(count):
                folder = os.path.join(home, "%04d" % (number // 1000))
                if number % 1000 == 0:
                    os.makedirs(folder)
                os.link(source, os.path.join(folder, "%03d.dcm" % (number % 1000)))
        return home

    # ---- one run of each kind ----

    def extract(self, home, *flags):
        out = os.path.join(self.work, "extracted")
        shutil.rmtree(out, ignore_errors=True)
        began = time.monotonic()
        run = subprocess.Popen([self.program, "extract", "--DICOMHome", home, "--OutputDirectory", out, "--UseProcesses",
                                str(DECODERS), *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
        if run.returncode != 0:
            raise service.ServiceError("extract: exit status %d" % run.returncode)
        shutil.rmtree(out, ignore_errors=True)
        return Cost(usage.ru_utime + usage.ru_stime, time.monotonic() - began)

    def work_alone(self, home, count, *flags):
        """A worker over tasks that are all there, and an aggregator after it: -> their costs."""
        job = Job(self, home, *flags)
        job.produce().end(ask=False)
        worker = job.work()
        job.wait_results(count + 2)
        spent = worker.end()
        began = time.monotonic()
        gathered = job.aggregate()
        job.wait_complete()
        gathered = Cost(gathered.end().cpu, time.monotonic() - began)
        job.tidy()
        return spent, gathered

    def whole(self, home, *flags):
        """A fleet that waits for its job: -> seconds from produce's start, and from the first task, until all is stored."""
        job = Job(self, home, *flags)
        job.aggregate().wait_ready()
        job.work().wait_ready()
        began = time.monotonic()
        job.produce()
        ended = job.wait_complete()
        job.bench.roles[-1].end(ask=False)
        job.tidy()
        return ended - began, ended - job.published

    def dispatch(self, home, count, *flags, watch=None):
        """-> seconds from the first task until the last record is stored, CPU by role."""
        job = Job(self, home, *flags, produced=("--PrintImages", "false"))
        aggregator = job.aggregate().wait_ready()
        worker = job.work().wait_ready()
        broker = self.broker.process.pid
        before = cpu_of(broker)
        producer = job.produce()
        if watch:
            watch(job, worker)
        aggregator.wait_metric("niffler_records_total", count)
        seconds = time.monotonic() - job.published
        cpu = {"broker": cpu_of(broker) - before, "producer": producer.end(ask=False).cpu}
        job.wait_complete()
        cpu["worker"] = worker.end().cpu
        cpu["aggregator"] = aggregator.end().cpu
        job.tidy()
        return seconds, cpu


def cpu_of(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii") as file:
        fields = file.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ---- the parts ----

def bench_cpu(bench):
    home, count = bench.samples("ct", "--ct", "1200"), 0  # so many that a start is little of it
    for _, _, names in os.walk(home):
        count += len(names)
    ratios, shares = [], []
    for _ in range(2):
        bench.work_alone(home, count)  # not measured: the broker compiles itself meanwhile, and takes cores and caches for it
    for _ in range(CPU_PAIRS):
        whole = bench.extract(home)
        spent, gathered = bench.work_alone(home, count)
        ratios.append(spent.cpu / whole.cpu)
        shares.append((whole.cpu, spent.cpu, gathered.cpu))
    ratio = statistics.median(ratios)
    report("CT: CPU per file of worker and decoders, against extract", "%.3f" % ratio, "<= 1.05", ratio <= 1.05)
    note("ms of CPU per file: extract, worker and decoders, aggregator", " ".join(
        "%.3f" % (statistics.median(column) * 1000 / count) for column in zip(*shares)))


def bench_wall(bench):
    home = bench.links("dx", 1600)  # seconds: the last record takes 0.07 s through the broker
    ratios, wholes, walls = [], [], []
    for _ in range(PAIRS):
        alone = bench.extract(home).wall
        whole, since = bench.whole(home)
        ratios.append(since / alone)
        wholes.append(whole / alone)
        walls.append((alone, since))
    ratio = statistics.median(ratios)
    report("DX: time of a fleet with %d decoders, against extract" % DECODERS, "%.3f" % ratio, "<= 1.05", ratio <= 1.05)
    note("from the producer's start on", "%.3f" % statistics.median(wholes))
    note("seconds: extract, the fleet", " ".join("%.2f" % statistics.median(column) for column in zip(*walls)))


def bench_dispatch(bench):
    count = 100000
    home = bench.links("sr", count)
    rates, cpus = [], []
    for _ in range(3):
        seconds, cpu = bench.dispatch(home, count)
        rates.append(count / seconds)
        cpus.append(cpu)
    rate = statistics.median(rates)
    report("dispatch: tasks a second through the whole fleet", "%.0f" % rate, ">= 10000", rate >= 10000)
    note("us of CPU a task", ", ".join("%s %.1f" % (name, statistics.median(cpu[name] for cpu in cpus) * 1e6 / count)
                                       for name in cpus[0]))


def bench_memory(bench):
    """The worker takes tasks ahead, up to a bound that it reaches early: the peaks of two stretches are compared."""
    seen = []

    def watch(job, worker):
        for count in range(20000, 200000, 10000):
            job.wait_results(count, 0.02)
            seen.append((rss_kb(worker.popen.pid), max(rss_kb(pid) for pid in worker.children())))
    bench.dispatch(bench.links("sr", 200000), 200000, watch=watch)
    half = len(seen) // 2
    for who, sizes in zip(("the worker", "its largest decoder"), zip(*seen)):
        early, late = max(sizes[:half]), max(sizes[half:])
        report("memory of %s, tasks 110,000 to 190,000 against those before" % who, "%+d kB of %d" % (late - early, early),
               "<= +4096", late - early <= 4096)


def bench_redis(bench):
    count = 30000
    home = bench.links("sr", count)
    cpus, walls = [], []
    for _ in range(2 * PAIRS + 1):
        costs = []
        for flags in ((), ("--RedisUrl", NOBODY)):
            seconds, cpu = bench.dispatch(home, count, *flags)
            costs.append((seconds, cpu["worker"] + cpu["aggregator"]))
        walls.append(costs[1][0] / costs[0][0])
        cpus.append(costs[1][1] / costs[0][1])
    ratio = statistics.median(cpus)
    report("a Redis that is not there: CPU of worker and aggregator", "%.3f" % ratio, "< 1.01", ratio < 1.01)
    note("time", "%.3f (quartiles %.3f to %.3f)" % (statistics.median(walls), *statistics.quantiles(walls)[::2]))
    note("quartiles of the CPU", "%.3f to %.3f" % tuple(statistics.quantiles(cpus)[::2]))


def gather(bench, count, attributes):
    """Records a second of an aggregator that finds a topic full of them, and its CPU seconds a record."""
    job = Job(bench, bench.work)
    job.id = job_id()
    os.mkdir(job.out)
    subprocess.run([bench.records, "send", str(count), str(attributes), job.id, *job.flags], check=True,
                   stdout=subprocess.DEVNULL)
    aggregator = job.aggregate()
    aggregator.wait_metric("niffler_records_total", 1, 0.002)
    first, began, cpu = aggregator.metric("niffler_records_total"), time.monotonic(), aggregator.cpu_now()
    aggregator.wait_metric("niffler_records_total", count, 0.02)
    rate, cpu = (count - first) / (time.monotonic() - began), (aggregator.cpu_now() - cpu) / (count - first)
    job.wait_complete()
    job.tidy()
    return rate, cpu


def job_id():
    return "01" + "".join(secrets.choice("0123456789ABCDEFGHJKMNPQRSTVWXYZ") for _ in range(24))


def from_memory(bench, count, attributes):
    database = os.path.join(bench.work, "memory.db")
    done = subprocess.run([bench.records, "memory", str(count), str(attributes), database], check=True, stdout=subprocess.PIPE,
                          text=True).stdout.split()
    for suffix in ("", "-wal", "-journal"):
        if os.path.exists(database + suffix):
            os.unlink(database + suffix)
    return int(done[0]) / float(done[1])


def bench_aggregator(bench):
    for attributes, count, goal in ((30, 200000, 25000), (268, 50000, 5000)):
        rate, cpu = (statistics.median(column) for column in zip(*[gather(bench, count, attributes) for _ in range(3)]))
        report("aggregator: records of %d attributes a second, from Kafka" % attributes, "%.0f" % rate, ">= %d" % goal,
               rate >= goal)
        note("us of CPU a record; records a second from memory, the upper bound", "%.1f; %.0f" % (
            cpu * 1e6, statistics.median(from_memory(bench, count, attributes) for _ in range(3))))


def tables(bench, count, place):
    """Fill a store and write its tables; -> seconds of the export, its peak in kB, its CPU seconds."""
    database, out = os.path.join(place, "store.db"), os.path.join(place, "tables")
    os.mkdir(out)
    try:
        filled = subprocess.run([bench.records, "fill", str(count), "4", database], check=True, stdout=subprocess.PIPE,
                                text=True).stdout.split()
        done = subprocess.run([bench.records, "export", database, out], check=True, stdout=subprocess.PIPE,
                              text=True).stdout.split()
        note("%d records: seconds to store, to export, CPU; GB of tables" % count, "%s, %s, %s; %.2f" % (
            filled[1], done[0], done[2], sum(entry.stat().st_size for entry in os.scandir(out) if entry.is_file()) / 1e9))
        with open(os.path.join(out, "metadata.csv"), "rb") as file:
            lines = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
        if lines != count + 1:
            raise service.ServiceError("metadata.csv has %d lines for %d records" % (lines, count))
        return float(done[0]), int(done[1]), float(done[2])
    finally:
        shutil.rmtree(out, ignore_errors=True)
        for name in os.listdir(place):
            os.unlink(os.path.join(place, name))


def bench_tables(bench):
    counts = (1000000, 10000000) if bench.full else (100000, 1000000)
    with tempfile.TemporaryDirectory(prefix="niffler-fleet-bench-tables-") as place:
        (short, _, short_cpu), (long, peak, long_cpu) = (tables(bench, count, place) for count in counts)
    report("memory of the export of %d records" % counts[1], "%.0f MB" % (peak / 1024), "<= 256 MB", peak <= 256 * 1024)
    ratio = long / short / (counts[1] / counts[0])
    report("its time a record, against %d records" % counts[0], "%.2f" % ratio, "<= 1.20", ratio <= 1.20)
    ratio = long_cpu / short_cpu / (counts[1] / counts[0])
    report("its CPU a record, the same", "%.2f" % ratio, "<= 1.20", ratio <= 1.20)


PARTS = {"cpu": bench_cpu, "wall": bench_wall, "dispatch": bench_dispatch, "memory": bench_memory, "redis": bench_redis,
         "aggregator": bench_aggregator, "tables": bench_tables}


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "bench"))
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only", action="append", choices=sorted(PARTS))
    options = parser.parse_args()
    print("%d cores, load %s" % (os.cpu_count(), " ".join("%.1f" % load for load in os.getloadavg())), flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))  # so that what was started is ended
    bench = Bench(os.path.abspath(options.build), options.full)
    try:
        bench.start()
        for name, part in PARTS.items():
            if not options.only or name in options.only:
                part(bench)
    finally:
        bench.close()
    print("load %s" % " ".join("%.1f" % load for load in os.getloadavg()))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
