"""How bench/run measures and reports: CPU time of whole process trees, paired runs A B A B, medians, a goal for each line."""
import os
import re
import resource
import statistics
import subprocess
import time

from inputs import Missing

TICK_S = 0.002  # how often a running process is looked at


def real_folder(root):
    """-> folder of files of the real world and what it is called; None and "" where none is at hand."""
    shared = os.environ.get("NIFFLER_SHARED") or os.path.join(os.path.dirname(root), "shared")
    folder = os.path.join(shared, "dicom")
    return (folder, "corpus") if os.path.isdir(folder) else (None, "")


class Cost:
    """Of one command: CPU seconds of its process tree and wall-clock seconds; per file after over()."""

    def __init__(self, cpu, wall):
        self.cpu, self.wall = cpu, wall

    def over(self, count):
        return Cost(self.cpu / count, self.wall / count)


def cost(*command, environment=None, allowed=(0,)):
    """Run it. Raises Missing where its exit status is none of `allowed`: what failed is not what was to be measured."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          env=dict(os.environ, **(environment or {})), check=False)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - began
    if done.returncode not in allowed:
        raise Missing("%s ended with status %d" % (os.path.basename(command[0]), done.returncode))
    return Cost(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall)


def pairs(ours, partner, count):
    """Run both in turn, `count` times; -> their costs. The first run of each warms the caches and does not count, where there
    are several."""
    found = []
    for _ in range(count + (count > 2)):
        a = ours()
        found.append((a, partner()))
    return found[count > 2:]


def medians(found, value=lambda cost: cost.cpu):
    """-> median of ours, of the partner, and of ours / partner over the pairs."""
    return (statistics.median(value(a) for a, _ in found), statistics.median(value(b) for _, b in found),
            statistics.median(value(a) / value(b) for a, b in found))


class Bystanders:
    """What else ran on the machine from now on: a share of its cores, by share()."""

    def __init__(self):
        self.began, self.busy, self.ours = time.monotonic(), self.busy_seconds(), self.our_seconds()

    @staticmethod
    def busy_seconds():
        """Of all cores together, what the host took from a virtual machine included."""
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
        return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")

    @staticmethod
    def our_seconds():
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)

    def share(self):
        spent = self.busy_seconds() - self.busy - (self.our_seconds() - self.ours)
        return max(0.0, spent) / ((time.monotonic() - self.began) * (os.cpu_count() or 1))


def children_of(pid):
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def peak_kb(pid):
    """VmHWM, which unlike ru_maxrss knows nothing of the process that forked it."""
    try:
        with open("/proc/%d/status" % pid, encoding="ascii") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("VmHWM:")), 0)
    except OSError:
        return 0


def cpu_of(pid):
    """CPU seconds of a process and all threads that it has had, also when it has ended and was not waited for yet."""
    return time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3), which Python gives for threads only


class Watched:
    """A run of `command`: CPU of its tree and of the first process alone, bytes that the tree asked the kernel to read, and,
    `looking` all the time, which takes a core, the peak of memory of the first process and of the largest of its children in
    kB."""

    def __init__(self, *command, allowed=(0,), looking):
        run = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.peak = self.child_peak = 0
        while looking and os.waitid(os.P_PID, run.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            self.peak = max(self.peak, peak_kb(run.pid))
            self.child_peak = max([self.child_peak] + [peak_kb(child) for child in children_of(run.pid)])
            time.sleep(TICK_S)
        os.waitid(os.P_PID, run.pid, os.WEXITED | os.WNOWAIT)  # it has ended, but is still there to be asked
        self.parent_cpu = cpu_of(run.pid)
        with open("/proc/%d/io" % run.pid, encoding="ascii") as file:
            self.read_bytes = int(re.search(r"rchar: (\d+)", file.read()).group(1))
        _, status, usage = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
        if run.returncode not in allowed:
            raise Missing("%s ended with status %d" % (os.path.basename(command[0]), run.returncode))
        self.cpu = usage.ru_utime + usage.ru_stime


# ---- the report ----

class Goal:
    """At least or at most a figure."""

    def __init__(self, sign, figure, unit=""):
        self.sign, self.figure, self.unit = sign, figure, unit

    def __str__(self):
        return "%s %s%s" % (self.sign, ("%.2f" % self.figure).rstrip("0").rstrip(".") if self.figure % 1 else
                            "{:,}".format(int(self.figure)), self.unit)

    def met(self, figure):
        return figure >= self.figure if self.sign == "≥" else figure <= self.figure


def at_least(figure, unit=" ×"):
    return Goal("≥", figure, unit)


def at_most(figure, unit=" ×"):
    return Goal("≤", figure, unit)


def milliseconds(seconds):
    return "%.3g ms" % (seconds * 1000) if seconds < 1 else "%.2f s" % seconds


class Report:
    """Lines as they are measured, and the table of them all. `stream`: where lines go at once."""

    def __init__(self, stream):
        self.stream = stream
        self.rows, self.counts = [], {"met": 0, "MISSED": 0, "not measured": 0}

    def add(self, name, work, partner, inputs, ours, theirs, figure, goal, precision=2):
        """A measured line; `figure` is compared with the goal. `ours` and `theirs` are texts."""
        verdict = "met" if goal.met(figure) else "MISSED"
        said = "%s%s" % (("%." + str(precision) + "f") % figure if abs(figure) < 1000 else "{:,.0f}".format(figure), goal.unit)
        self.row(name, work, partner, inputs, ours, theirs, said, str(goal), verdict)

    def absent(self, name, work, reason, goal=""):
        """A line that could not be measured counts as such, never as met."""
        self.row(name, work, "", "", "", "", reason, str(goal), "not measured")

    def row(self, name, work, partner, inputs, ours, theirs, said, goal, verdict):
        self.counts[verdict] += 1
        self.rows.append((work + (" [%s]" % partner if partner else ""), inputs, ours, theirs, said, goal, verdict))
        print("%-18s %-10s %s%s" % (name, said, "goal %s" % goal if goal else "", "" if verdict == "met" else "   " + verdict),
              file=self.stream)
        print("%-18s   %s%s%s%s" % ("", work, " [%s]" % partner if partner else "",
                                    ": %s against %s" % (ours, theirs) if theirs else "", "; " + inputs if inputs else ""),
              file=self.stream, flush=True)

    def took(self, seconds):
        print("%-18s   (%.0f s)" % ("", seconds), file=self.stream, flush=True)

    def markdown(self):
        lines = ["| work [partner] | input | ours | partner | measured | goal | |", "|---|---|---:|---:|---:|---:|---|"]
        for row in self.rows:
            lines.append("| %s |" % " | ".join(cell.replace("|", "/") for cell in row))
        return "\n".join(lines)

    def status(self):
        """Exit status: 1 a goal was missed, 3 none was but not all could be measured."""
        return 1 if self.counts["MISSED"] else 3 if self.counts["not measured"] else 0
