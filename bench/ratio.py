#!/usr/bin/env python3
"""CPU time and throughput of ext_authz servers, as ratios to the floor.

    ratio.py [-t SECONDS] [-r ROUNDS] [-c CONNECTIONS] [-m STREAMS] [--max RATIO] NAME:PORT:FRAME:COMMAND ...

A machine is never quiet enough for an absolute figure, so every server is
measured beside bin/floor, in the same run, in turns: each round loads every
server once, and every other round goes backwards.

COMMAND is started pinned to CPU 0 and has to serve cleartext gRPC on
127.0.0.1:PORT. h2load, pinned to CPU 1, posts FRAME, a file that mkframe wrote.
A load counts only if every answer has status 200 and the size of the one that
bin/allows saw to be an allow. CPU time is what all threads of the server spent
running, divided by requests.

Prints a line a server: requests a second and CPU microseconds a request, the
median of the rounds, each with its ratio to the floor; and the most memory that
was resident. Needs Linux, two CPUs, h2load (Debian: nghttp2-client) and taskset
(util-linux).
"""

import argparse
import os
import pathlib
import re
import shlex
import shutil
import socket
import statistics
import subprocess
import sys
import time

BIN = pathlib.Path(__file__).resolve().parent / "bin"
CHECK = "/envoy.service.auth.v3.Authorization/Check"


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("-t", type=float, default=0.5, help="seconds that a load lasts, roughly")
    p.add_argument("-r", type=int, default=9, help="rounds")
    p.add_argument("-c", type=int, default=4, help="connections, as one for each worker of Envoy")
    p.add_argument("-m", type=int, default=32, help="concurrent streams on each connection")
    p.add_argument("--max", type=float, help="exit 1 when the last server's CPU ratio is above this")
    p.add_argument("servers", nargs="+", metavar="NAME:PORT:FRAME:COMMAND")
    return p.parse_args()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


class Server:
    """A server under measurement, with one figure of each kind for each round."""

    def __init__(self, spec):
        self.name, port, self.frame, command = spec.split(":", 3)
        self.port = int(port)
        self.rates, self.costs = [], []  # requests/s; CPU microseconds a request
        self.process = subprocess.Popen(
            ["taskset", "-c", "0", *shlex.split(command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def wait(self):
        """Waits until the port answers and the frame is allowed."""
        for _ in range(300):
            if self.process.poll() is not None:
                sys.exit(f"{self.name}: ended with status {self.process.returncode} before it listened")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        else:
            sys.exit(f"{self.name}: nothing listens on port {self.port}")
        asked = subprocess.run([BIN / "allows", f"127.0.0.1:{self.port}", self.frame], capture_output=True, text=True)
        if asked.returncode:
            sys.exit(f"{self.name}: {asked.stderr.strip()}")
        self.size = int(asked.stdout)

    def load(self, requests, a):
        """Posts the frame so many times; gives requests/s and CPU microseconds a request."""
        before = self.cpu_seconds()
        out = subprocess.run(
            ["taskset", "-c", "1", "h2load", "-n", str(requests), "-c", str(a.c), "-m", str(a.m), "-d", self.frame]
            + ["-H", "content-type: application/grpc", "-H", "te: trailers", f"http://127.0.0.1:{self.port}{CHECK}"],
            capture_output=True,
            text=True,
        ).stdout
        cpu = self.cpu_seconds() - before
        ok, data, rate = (re.search(p, out) for p in (r"status codes: (\d+) 2xx", r"\((\d+)\) data", r"([\d.]+) req/s"))
        if not ok or int(ok[1]) != requests or int(data[1]) != requests * self.size:
            sys.exit(f"{self.name}: not every answer was an allow of {self.size} bytes:\n{out[-800:]}")
        return float(rate[1]), cpu / requests * 1e6

    def cpu_seconds(self):
        total = 0
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except (FileNotFoundError, ProcessLookupError):
                pass  # a thread that has just ended
        return total / 1e9

    def peak_mib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) // 1024


def measure(servers, a):
    for s in servers:
        s.wait()
    time.sleep(1)
    for s in servers:
        s.load(4000, a)
        s.requests = max(2000, int(s.load(6000, a)[0] * a.t))
    for r in range(a.r):
        for s in servers if r % 2 == 0 else reversed(servers):
            rate, cost = s.load(s.requests, a)
            s.rates.append(rate)
            s.costs.append(cost)


def ratio(figures, floor):
    return statistics.median(x / y for x, y in zip(figures, floor))


def main():
    a = arguments()
    for tool, package in (("h2load", "nghttp2-client"), ("taskset", "util-linux")):
        if not shutil.which(tool):
            sys.exit(f"ratio.py: there is no {tool} here; on Debian and Ubuntu it is in the package {package}")
    if not {0, 1} <= os.sched_getaffinity(0):
        sys.exit("ratio.py: CPUs 0 and 1 are needed, one for the servers and one for the load")
    port, frame = free_port(), a.servers[0].split(":", 3)[2]
    servers = [Server(f"floor:{port}:{frame}:{BIN}/floor -listen 127.0.0.1:{port}")]
    floor = servers[0]
    try:
        servers += [Server(spec) for spec in a.servers]
        measure(servers, a)
        for s in servers:
            print(
                f"{s.name:<20} {statistics.median(s.rates):9.0f} req/s (x{ratio(s.rates, floor.rates):.2f})  "
                f"{statistics.median(s.costs):7.2f} us CPU/req (x{ratio(s.costs, floor.costs):.3f})  rss {s.peak_mib()} MiB"
            )
        cost = ratio(servers[-1].costs, floor.costs)
        if a.max is not None and cost > a.max:
            sys.exit(f"{servers[-1].name}: {cost:.3f} of the floor's CPU time, and {a.max} is the most that is accepted")
    finally:
        for s in servers:
            s.process.terminate()
        for s in servers:
            s.process.wait(10)


if __name__ == "__main__":
    main()
