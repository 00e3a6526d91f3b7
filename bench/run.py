#!/usr/bin/python3
"""Cost, as ratios against a partner measured in the same run: CPU time of whole processes and their children, medians of
paired runs A B A B. Machines differ and are noisy: quote the ratios.

usage: bench/run.py [BUILD_FOLDER]        default: build/bench (cmake --preset bench && cmake --build --preset bench)

Partners: DCMTK's dcmj2pnm and dcm2json, libpng's default settings, the codecs' libraries alone. BENCH_DICOM=FOLDER measures
CTs of one's own instead of the generated ones. Exit status 1 when a goal is missed."""
import glob
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import codec_costs

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else os.path.join(ROOT, "build", "bench")
PROGRAM = os.path.join(BUILD, "niffler-png")
PAIRS = 5
missed = []


def cpu(*command):
    """CPU and wall-clock seconds of a command and its children."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.monotonic() - began


def extract(home, out, *flags):
    shutil.rmtree(out, ignore_errors=True)
    return cpu(PROGRAM, "extract", "--DICOMHome", home, "--OutputDirectory", out, *flags)


def report(what, figure, goal, met):
    print("%-66s %-26s %s" % (what, figure, "goal %s%s" % (goal, "" if met else "   MISSED")), flush=True)
    if not met:
        missed.append(what)


def paired(files, ours, partner):
    """Median of (partner's CPU per file) / (ours per file) over pairs."""
    ratios = []
    for _ in range(PAIRS):
        a = ours() / len(files)
        some = files[:: max(1, len(files) // 8)][:8]
        b = sum(partner(name) for name in some) / len(some)
        ratios.append(b / a)
    return statistics.median(ratios)


def peak_kb(home, out, *flags):
    """VmHWM of the parent alone: its decoders are processes of their own."""
    shutil.rmtree(out, ignore_errors=True)
    run = subprocess.Popen([PROGRAM, "extract", "--DICOMHome", home, "--OutputDirectory", out, *flags],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while run.poll() is None:
        try:
            with open("/proc/%d/status" % run.pid, encoding="ascii") as status:
                for line in status:
                    if line.startswith("VmHWM:"):
                        peak = max(peak, int(line.split()[1]))
        except OSError:
            pass
        time.sleep(0.005)
    return peak


def main():
    # In memory where that is to be had: what the disk writes back of one run would be counted in the next.
    memory = "/dev/shm" if os.path.isdir("/dev/shm") and shutil.disk_usage("/dev/shm").free > 4 << 30 else None
    work = tempfile.mkdtemp(prefix="niffler-bench-", dir=memory)
    out = os.path.join(work, "out")
    try:
        home = os.environ.get("BENCH_DICOM")
        if not home:
            home = os.path.join(work, "ct")
            subprocess.run([os.path.join(BUILD, "niffler-png-samples"), home, "--ct", "600", "--only", "ct"], check=True,
                           stdout=subprocess.DEVNULL)
        files = sorted(os.path.join(path, name) for path, _, names in os.walk(home) for name in names)
        picture = os.path.join(work, "picture.png")
        ratio = paired(files, lambda: extract(home, out, "--UseProcesses", "1")[0],
                       lambda name: cpu("dcmj2pnm", "+on2", name, picture)[0])
        report("CT to PNG and metadata, CPU per file, against dcmj2pnm +on2", "%.1f times fewer" % ratio, ">= 25", ratio >= 25)

        pngs = sorted(glob.glob(os.path.join(out, "extracted-images", "**", "*.png"), recursive=True))[::5]
        ours, theirs = map(int, subprocess.run([os.path.join(BUILD, "bench", "bench_recode"), *pngs], check=True,
                                               capture_output=True, text=True).stdout.split())
        report("bytes of the PNGs, against libpng's default, same pixels", "%.3f" % (ours / theirs), "<= 1.03",
               ours / theirs <= 1.03)

        ratio = paired(files, lambda: extract(home, out, "--UseProcesses", "1", "--PrintImages", "false")[0],
                       lambda name: cpu("dcm2json", name, os.path.join(work, "x.json"))[0])
        report("metadata only, CPU per file, against dcm2json", "%.1f times fewer" % ratio, ">= 20", ratio >= 20)

        ratios = []
        for _ in range(PAIRS):
            one = extract(home, out, "--UseProcesses", "1")[1]
            two = extract(home, out, "--UseProcesses", "2")[1]
            ratios.append(one / two)
        report("throughput of 2 decoders, against 1 (wall clock)", "%.2f" % statistics.median(ratios), ">= 1.8",
               statistics.median(ratios) >= 1.8)

        ratios = []
        for _ in range(2 * PAIRS):
            full = extract(home, out, "--UseProcesses", "1")[0]
            window = extract(home, out, "--UseProcesses", "1", "--PixelScaling", "window")[0]
            ratios.append(window / full)
        report("PixelScaling: window, CPU, against full", "%.3f" % statistics.median(ratios), "<= 1.15",
               statistics.median(ratios) <= 1.15)

        codec_costs.against_libraries(BUILD, work, report)
        codec_costs.against_dcmj2pnm(work, cpu, extract, PAIRS, report)

        small = os.path.join(work, "small")
        subprocess.run([os.path.join(BUILD, "niffler-png-samples"), os.path.join(work, "mr"), "--only", "mr"], check=True,
                       stdout=subprocess.DEVNULL)
        source = sorted(glob.glob(os.path.join(work, "mr", "**", "*.dcm"), recursive=True))[0]
        peaks = []
        for count in (1000, 100000):
            shutil.rmtree(small, ignore_errors=True)
            for number in range(count):
                if number % 1000 == 0:
                    folder = os.path.join(small, "%04d" % (number // 1000))
                    os.makedirs(folder)
                    target = shutil.copy(source, os.path.join(folder, "000.dcm"))
                else:
                    os.link(target, os.path.join(folder, "%03d.dcm" % (number % 1000)))
            peaks.append(peak_kb(small, out, "--PrintImages", "false"))
        report("peak memory of the parent, 100,000 files against 1,000", "%d kB more" % (peaks[1] - peaks[0]),
               "<= 8192", peaks[1] - peaks[0] <= 8192)

        names = os.path.join(work, "names")
        os.mkdir(names)
        for number in range(1000000):
            os.close(os.open(os.path.join(names, "1.2.840.113619.%08d.dcm" % (number * 7919 % 1000003)),
                             os.O_CREAT | os.O_WRONLY, 0o600))
        answer = subprocess.run([os.path.join(BUILD, "bench", "bench_scan"), names], check=True, capture_output=True,
                                text=True).stdout
        kilobytes = int(answer.split()[-2])
        report("memory of a scan of 1,000,000 names in one folder", "%d kB" % kilobytes, "< 65536",
               kilobytes < 65536 and answer.startswith("1000000 files"))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
