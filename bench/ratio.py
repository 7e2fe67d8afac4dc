#!/usr/bin/env python3
"""CPU time and throughput of ext_authz servers, as ratios to the floor.

    ratio.py [-t SECONDS] [-r ROUNDS] [-s STARTS] [-c CONNECTIONS] [-m STREAMS] [--max RATIO] [--revoke SOCKETS] NAME:PORT:FRAME:COMMAND ...

A machine is never quiet enough for an absolute figure, so every server is
measured beside bin/floor, in the same run, in turns: each round loads every
server once, and every other round goes backwards. The floor is loaded with each
of the frames. All are started anew several times: where its memory happens to lie
makes one process some hundredths dearer than the next.

COMMAND is started pinned to CPU 0 and has to serve cleartext gRPC on
127.0.0.1:PORT. h2load, pinned to CPU 1, posts FRAME, a file that mkframe wrote;
where that is a file of many frames, frames.*, bin/load posts each of them once. A
load counts only if every answer has status 200 and the size of the one that
bin/allows saw to be an allow, or with ! before FRAME a denial. CPU time is what
all threads of the server spent running, divided by requests.

With --revoke, 10,000 revocations of others are first posted to the admin sockets
that are in that folder, NAME.sock each.

Prints a line a server: requests a second and CPU microseconds a request, the
median of the rounds, each with its ratio to the floor; and the most memory that
was resident. Needs Linux, two CPUs, h2load (Debian: nghttp2-client) and taskset
(util-linux).
"""

import argparse
import http.client
import json
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
    p.add_argument("-r", type=int, default=5, help="rounds for each start")
    p.add_argument("-s", type=int, default=3, help="starts")
    p.add_argument("-c", type=int, default=4, help="connections, as one for each worker of Envoy")
    p.add_argument("-m", type=int, default=32, help="concurrent streams on each connection")
    p.add_argument("--max", type=float, help="exit 1 when the first server's CPU ratio is above this")
    p.add_argument("--revoke", type=pathlib.Path, metavar="SOCKETS", help="folder of admin sockets to post revocations to")
    p.add_argument("servers", nargs="+", metavar="NAME:PORT:FRAME:COMMAND")
    return p.parse_args()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def cpu_seconds(process):
    """What all its threads spent running so far."""
    total = 0
    for task in pathlib.Path(f"/proc/{process.pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass  # a thread that has just ended
    return total / 1e9


class Server:
    """A server under measurement, with one figure of each kind for each round."""

    def __init__(self, spec):
        self.name, port, frame, command = spec.split(":", 3)
        self.port = int(port)
        self.denies = frame.startswith("!")
        self.frame = frame.removeprefix("!")
        self.rates, self.costs = [], []  # requests/s; CPU microseconds a request
        self.posted = 0  # of many frames
        self.process = subprocess.Popen(
            ["taskset", "-c", "0", *shlex.split(command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def wait(self):
        """Waits until the port answers and the frame is allowed, or denied."""
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
        deny = ["-deny"] if self.denies else []
        asked = subprocess.run([BIN / "allows", *deny, f"127.0.0.1:{self.port}", self.frame], capture_output=True, text=True)
        if asked.returncode:
            sys.exit(f"{self.name}: {asked.stderr.strip()}")
        self.size = int(asked.stdout)
        self.posted = 1

    def load(self, requests, a):
        """Posts so many frames; gives requests/s and CPU microseconds a request."""
        before = cpu_seconds(self.process)
        if many(self.frame):
            rate, good = self.post_many(requests, a)
        else:
            rate, good = self.post_one(requests, a)
        cpu = cpu_seconds(self.process) - before
        if not good:
            sys.exit(f"{self.name}: not every answer was one of {self.size} bytes")
        return rate, cpu / requests * 1e6

    def post_one(self, requests, a):
        out = subprocess.run(
            ["taskset", "-c", "1", "h2load", "-n", str(requests), "-c", str(a.c), "-m", str(a.m), "-d", self.frame]
            + ["-H", "content-type: application/grpc", "-H", "te: trailers", f"http://127.0.0.1:{self.port}{CHECK}"],
            capture_output=True,
            text=True,
        ).stdout
        ok, data, rate = (re.search(p, out) for p in (r"status codes: (\d+) 2xx", r"\((\d+)\) data", r"([\d.]+) req/s"))
        return float(rate[1]), ok and int(ok[1]) == requests and int(data[1]) == requests * self.size

    def post_many(self, requests, a):
        got = loaded(self, requests, a.c, a.m, self.posted)
        self.posted += requests
        return got["rate"], got["size"] == self.size

    def peak_mib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) // 1024


def many(frame):
    return pathlib.Path(frame).name.startswith("frames.")


def loaded(server, requests, connections, streams, skip=0):
    """What bin/load says of a load."""
    out = subprocess.run(
        ["taskset", "-c", "1", BIN / "load", "-n", str(requests), "-c", str(connections), "-m", str(streams)]
        + ["-skip", str(skip), f"127.0.0.1:{server.port}", server.frame],
        capture_output=True,
        text=True,
    )
    if out.returncode:
        sys.exit(f"{server.name}: {out.stderr.strip()}")
    return json.loads(out.stdout)


class Floor(Server):
    """The floor, loaded with one of the frames: they share a process."""

    def __init__(self, spec, process=None):
        if process is None:
            super().__init__(spec)
        else:
            self.name, port, self.frame, _ = spec.split(":", 3)
            self.port, self.process = int(port), process
            self.denies, self.rates, self.costs, self.posted = False, [], [], 0


def revoke(path):
    """Has 10,000 revocations of others in force."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    for i in range(10_000):
        kind = ("subject", "sid", "token_id")[i % 3]
        connection.request("POST", "/revocations", json.dumps({"provider": "main", kind: f"other-{i}"}), {"content-type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        if answer.status >= 300:
            sys.exit(f"{path}: a revocation is answered with {answer.status}")
    connection.close()


def measure(servers, a):
    time.sleep(1)
    for s in servers:
        if many(s.frame):
            s.load(500, a)
            s.requests = 1000  # so many that are different are soon used up
            continue
        s.load(4000, a)
        s.requests = max(2000, int(s.load(6000, a)[0] * a.t))
    for r in range(a.r):
        for s in servers if r % 2 == 0 else reversed(servers):
            rate, cost = s.load(s.requests, a)
            s.rates.append(rate)
            s.costs.append(cost)


def ratio(figures, floor):
    return statistics.median(x / y for x, y in zip(figures, floor))


def floors(specs):
    """The floor for each frame among the specs."""
    port, frames = free_port(), {}
    for spec in specs:
        frame = spec.split(":", 3)[2].removeprefix("!")
        if frame not in frames:
            process = next(iter(frames.values())).process if frames else None
            frames[frame] = Floor(f"floor:{port}:{frame}:{BIN}/floor -listen 127.0.0.1:{port}", process)
    return frames


def end(servers):
    for s in servers:
        s.process.terminate()
    for s in servers:
        s.process.wait(10)


def main():
    a = arguments()
    for tool, package in (("h2load", "nghttp2-client"), ("taskset", "util-linux")):
        if not shutil.which(tool):
            sys.exit(f"ratio.py: there is no {tool} here; on Debian and Ubuntu it is in the package {package}")
    if not {0, 1} <= os.sched_getaffinity(0):
        sys.exit("ratio.py: CPUs 0 and 1 are needed, one for the servers and one for the load")
    every = {}  # by name and frame: a server's figures of all starts, and those of its floor
    for _ in range(a.s):
        for s, floor in one_start(a):
            of = every.setdefault((s.name, s.frame), Figures())
            of.rates += s.rates
            of.costs += s.costs
            of.peak = max(of.peak, s.peak)
            of.floor = every[floor.name, floor.frame]
    for (name, frame), of in every.items():
        print(
            f"{name:<20} {statistics.median(of.rates):9.0f} req/s (x{ratio(of.rates, of.floor.rates):.2f})  "
            f"{statistics.median(of.costs):7.2f} us CPU/req (x{ratio(of.costs, of.floor.costs):.3f})  rss {of.peak} MiB"
            + (f"  {pathlib.Path(frame).name}" if of is of.floor else "")
        )
    first = a.servers[0].split(":", 3)
    of = every[first[0], first[2].removeprefix("!")]
    cost = ratio(of.costs, of.floor.costs)
    if a.max is not None and cost > a.max:
        sys.exit(f"{first[0]}: {cost:.3f} of the floor's CPU time, and {a.max} is the most that is accepted")


class Figures:
    """Those of a server, one of each kind for each round; and the most MiB that were resident."""

    def __init__(self):
        self.rates, self.costs, self.peak = [], [], 0


def one_start(a):
    """The floors and servers with their figures, each with its floor."""
    frames = floors(a.servers)
    servers = []
    try:
        servers += [Server(spec) for spec in a.servers]
        everybody = [*frames.values(), *servers]
        for s in everybody:
            s.wait()
        for s in servers:
            if a.revoke and (path := a.revoke / f"{s.name}.sock").exists():
                revoke(path)
        measure(everybody, a)
        for s in everybody:
            s.peak = s.peak_mib()
    finally:
        end([*frames.values(), *servers])
    return [(s, frames[s.frame]) for s in everybody]


if __name__ == "__main__":
    main()
