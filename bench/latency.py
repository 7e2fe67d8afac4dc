#!/usr/bin/env python3
"""How long answers of ext_authz servers take, as ratios to the floor.

    latency.py [-n REQUESTS] [-r ROUNDS] NAME:PORT:FRAME:COMMAND ...

As ratio.py, but with the percentiles of bin/load: with one request in flight, and
with 128 on four connections. The figures have the client in them, and the machine's
noise more than any others; the ratio is to the floor in the same round.
"""

import argparse
import statistics
import time

from ratio import Server, end, floors, loaded

FLIGHTS = (("one in flight", 1, 1), ("128 in flight", 4, 32))
PERCENTILES = ("p50", "p90", "p99")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("-n", type=int, default=4000, help="requests in a round")
    p.add_argument("-r", type=int, default=9, help="rounds")
    p.add_argument("servers", nargs="+", metavar="NAME:PORT:FRAME:COMMAND")
    a = p.parse_args()
    frames = floors(a.servers)
    servers = []
    try:
        servers += [Server(spec) for spec in a.servers]
        everybody = [*frames.values(), *servers]
        for s in everybody:
            s.wait()
        time.sleep(1)
        for flight, connections, streams in FLIGHTS:
            took = {s: {name: [] for name in PERCENTILES} for s in everybody}
            for s in everybody:
                loaded(s, a.n, connections, streams)
            for r in range(a.r):
                for s in everybody if r % 2 == 0 else reversed(everybody):
                    for name, micros in loaded(s, a.n, connections, streams)["micros"].items():
                        took[s][name].append(micros)
            for s in everybody:
                floor = took[frames[s.frame]]
                print(f"{s.name:<20} {flight}" + "".join(
                    f"  {name} {statistics.median(took[s][name]):7.0f} us (x{statistics.median(x / y for x, y in zip(took[s][name], floor[name])):.2f})"
                    for name in PERCENTILES
                ))
    finally:
        end([*frames.values(), *servers])


if __name__ == "__main__":
    main()
