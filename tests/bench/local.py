#!/usr/bin/env python3
"""Copies on one machine, against `cp -r`, `rsync -a` and `rclone copy`, in the same run.

    tests/bench/local.py [--dir DIR] [--rounds N] [--files N] [--gib N] [--only NAME,...]

Builds nothing: run `cargo build --release` first. Prints for each kind of data and each tool the
median time with its spread, the ratio to `cp -r`, the CPU seconds and the peak of resident memory.
Tools that are not installed are named and left out. Everything lies below DIR and is removed.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
AIRLIFT = os.path.join(ROOT, "target", "release", "airlift")


def plant_large(path, gib):
    os.makedirs(path)
    block = os.urandom(1 << 20)
    with open(os.path.join(path, "large"), "wb") as file:
        for i in range(int(gib * 1024)):
            # Each block differs from the others, so that nothing can be shared.
            file.write(i.to_bytes(8, "little") + block[8:])


def plant_small(path, count):
    noise = os.urandom(4096)
    for i in range(count):
        folder = os.path.join(path, f"{i // 1000:04}")
        if i % 1000 == 0:
            os.makedirs(folder)
        with open(os.path.join(folder, f"{i:07}"), "wb") as file:
            file.write(i.to_bytes(8, "little") + noise[8:])


def tools(state):
    quiet = ["--progress", "none", "-q", "--state-dir", state]
    found = {
        "airlift cp": lambda a, b: [AIRLIFT, "cp", a, b, *quiet],
        "cp -r": lambda a, b: ["cp", "-r", a + "/.", b],
        "rsync -a": lambda a, b: ["rsync", "-a", a + "/", b],
        "rclone copy": lambda a, b: ["rclone", "copy", "-q", "--transfers", "16", a, b],
    }
    for name in list(found):
        program = found[name]("a", "b")[0]
        if not shutil.which(program):
            print(f"skipped: {program} is not installed", file=sys.stderr)
            del found[name]
    return found


def run(command):
    """Runs a command; seconds, CPU seconds and peak memory in MiB."""
    begun = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{command} ended with {process.returncode}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def measure(title, source, work, rounds, chosen):
    results = {}
    for _ in range(rounds):
        for name, command in chosen.items():
            target = os.path.join(work, "target")
            os.makedirs(target)
            results.setdefault(name, []).append(run(command(source, target)))
            shutil.rmtree(target)
    print(f"\n{title}, median of {rounds} (least to most)")
    base = statistics.median(run[0] for run in results["cp -r"])
    for name, runs in results.items():
        seconds = sorted(run[0] for run in runs)
        middle = statistics.median(seconds)
        cpu = statistics.median(run[1] for run in runs)
        memory = max(run[2] for run in runs)
        print(
            f"  {name:12} {middle:7.2f} s ({seconds[0]:.2f} to {seconds[-1]:.2f})"
            f"  {base / middle:5.2f} x cp -r  {cpu:6.2f} CPU s  {memory:6.0f} MiB"
        )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", default=None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--gib", type=float, default=2)
    parser.add_argument("--only", default=None)
    options = parser.parse_args()
    if not os.path.exists(AIRLIFT):
        sys.exit(f"{AIRLIFT} is not built: cargo build --release")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    work = tempfile.mkdtemp(prefix="airlift-bench-", dir=options.dir)
    try:
        chosen = tools(os.path.join(work, "state"))
        if options.only:
            names = options.only.split(",")
            chosen = {name: chosen[name] for name in chosen if name in names}
        if options.gib:
            large = os.path.join(work, "large")
            plant_large(large, options.gib)
            measure(f"one file of {options.gib} GiB", large, work, options.rounds, chosen)
            shutil.rmtree(large)
        if options.files:
            small = os.path.join(work, "small")
            plant_small(small, options.files)
            measure(f"{options.files} files of 4 KiB", small, work, options.rounds, chosen)
    finally:
        shutil.rmtree(work)


main()
