#!/usr/bin/env python3
"""Load on a deployed model: packages the demo of `make engine` for Triton's Python backend, starts the server of
`make setup`, runs `onr bench` against it, and prints a table for docs/benchmarks.md.

    scripts/bench_triton.py [--seconds 60] [--clients 8 | --rate 30] [--graph fused] [--batch 1]

`--seconds 1800 --rate 30` looks for a leak: the server's memory is sampled all the time, and printed by tenths of the run.

No figure decides anything. The exit code is that of `onr bench`: 1 if a request failed.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "onr"
SERVER = Path(os.environ.get("ONR_TRITONSERVER", ROOT / ".onr/triton/bin/tritonserver"))
READY = 120  # seconds


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--demo", type=Path, default=ROOT / "build/ml-100k", help="what `make engine` wrote")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=8, help="closed loop")
    parser.add_argument("--rate", type=float, help="open loop: requests a second")
    parser.add_argument("--graph", default="fused")
    parser.add_argument("--batch", default="1")
    return parser.parse_args()


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Server:
    """A `tritonserver` on loopback, killed with all its processes at the end."""

    def __init__(self, repository, log):
        self.http, grpc, metrics = free_ports(3)
        self.prefix = f"onr_bench_{os.getpid()}_"
        self.log = log
        command = [SERVER, f"--model-repository={repository}", "--disable-auto-complete-config"]
        command += [f"--{name}-address=127.0.0.1" for name in ("http", "grpc", "metrics")]
        command += [f"--http-port={self.http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}"]
        command += [f"--backend-config=python,shm-region-prefix-name={self.prefix}"]
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )

    @property
    def url(self):
        return f"http://127.0.0.1:{self.http}"

    def __enter__(self):
        try:
            self.wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def wait(self):
        end = time.monotonic() + READY
        while time.monotonic() < end and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/v2/health/ready", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        sys.exit(f"the server is not ready; its log ends so:\n{self.log.read_text(errors='replace')[-2000:]}")

    def __exit__(self, *_):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        for left in Path("/dev/shm").glob(f"{self.prefix}*"):
            left.unlink(missing_ok=True)

    def memory(self):
        """Resident megabytes of the server and of its models' processes; pages that they share count for each."""
        total = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                group = int(stat.read_text().rsplit(")", 1)[1].split()[2])
                if group == self.process.pid:
                    status = (stat.parent / "status").read_text()
                    total += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
            except (OSError, IndexError):
                continue  # it has ended meanwhile
        return total * 1024 / 1e6


class Samples:
    """The server's memory all through a run."""

    TENTHS = 10

    def __init__(self, server, seconds):
        self.server, self.every, self.values = server, max(0.2, min(5, seconds / 100)), []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.sample, daemon=True)

    def sample(self):
        while not self.stopped.wait(self.every):
            self.values.append(self.server.memory())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()

    def tenths(self):
        """The mean of each tenth of the run, in megabytes."""
        parts = [self.values[i * len(self.values) // self.TENTHS : (i + 1) * len(self.values) // self.TENTHS] for i in range(self.TENTHS)]
        return [sum(part) / len(part) for part in parts if part]


def onr(*words, **options):
    return subprocess.run([PROGRAM, *map(str, words)], check=False, text=True, **options)


def table(options, report, before, samples):
    load = os.getloadavg()[0]
    drive = f"{options.rate:g} requests a second" if options.rate else f"{options.clients} clients"
    print(f"\n`{report['model']}` of the demo, {drive}, {report['seconds']:g} s, load {load:.0f} on {os.cpu_count()} cores:\n")
    print("| rows | requests/s | p50 | p99 | p99.9 | max | slowest second | failed | in the model | in the queue |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for run in report["batches"]:
        latency, share = run["latency"], (run["server"] or [None])[0]
        cells = [run["batch"], f"{run['requests_per_second']:.0f}"]
        cells += [f"{latency[key]:.1f} ms" for key in ("p50_ms", "p99_ms", "p999_ms", "max_ms")]
        whole = run["seconds"][: int(run["elapsed_seconds"])]
        cells += [f"{min((s['requests'] for s in whole), default=0)} requests", run["failed"]]
        cells += [f"{share['infer_ms']:.1f} ms", f"{share['queue_ms']:.1f} ms"] if share else ["", ""]
        print("| " + " | ".join(map(str, cells)) + " |")
    tenths = ", ".join(f"{mean:.1f}" for mean in samples.tenths())
    print(f"\nResident memory of the server and its models: {before:.1f} MB before; by tenths of the run {tenths} MB.")
    for run in report["batches"]:
        for failure in run["failures"]:
            print(f"failed: {failure['count']} x {failure['kind']}: {failure['first']}")


def main():
    options = arguments()
    engine, requests = options.demo / "engine", options.demo / "requests.jsonl"
    for needed in (engine / "onr.json", PROGRAM, SERVER):
        if not needed.is_file():
            sys.exit(f"{needed} is not there: `make engine` and `make setup` make it")
    with tempfile.TemporaryDirectory(prefix="onr-bench-") as folder:
        folder = Path(folder)
        repository = folder / "models"
        words = ["package", "triton", engine, "--backend", "python", "--requests", requests, "--out", repository]
        if onr(*words).returncode:
            sys.exit(1)
        with Server(repository, folder / "log") as server:
            common = ["bench", engine, "--triton", server.url, "--requests", requests, "--graph", options.graph]
            common += ["--batch", options.batch, "--json"]
            common += ["--rate", options.rate] if options.rate else ["--clients", options.clients]
            # Memory grows with the first requests of a size; what comes after that would be a leak.
            onr(*common, "--seconds", 2, stdout=subprocess.DEVNULL)
            before = server.memory()
            with Samples(server, options.seconds) as samples:
                done = onr(*common, "--seconds", options.seconds, stdout=subprocess.PIPE)
    report = json.loads(done.stdout)
    if "batches" not in report:
        sys.exit(done.stdout)
    table(options, report, before, samples)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
