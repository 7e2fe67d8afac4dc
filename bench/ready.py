#!/usr/bin/env python3
"""From start to ready: until the probe says that tokens can be judged.

    ready.py [-r ROUNDS] PROBE_PORT COMMAND

Prints the median and the worst of the rounds in milliseconds, and the memory that is
resident a second after the last start, in MiB.
"""

import argparse
import http.client
import pathlib
import re
import shlex
import statistics
import subprocess
import sys
import time


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("-r", type=int, default=9, help="rounds")
    p.add_argument("port", type=int, help="of the probe")
    p.add_argument("command")
    a = p.parse_args()
    took = []
    for _ in range(a.r):
        began = time.monotonic()
        server = subprocess.Popen(shlex.split(a.command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while not ready(a.port):
                if server.poll() is not None or time.monotonic() - began > 10:
                    sys.exit("ready.py: it doesn't become ready")
                time.sleep(0.002)
            took.append((time.monotonic() - began) * 1000)
            time.sleep(1)
            status = pathlib.Path(f"/proc/{server.pid}/status").read_text()
        finally:
            server.kill()
            server.wait()
    resident = int(re.search(r"VmRSS:\s+(\d+)", status)[1]) // 1024
    print(f"ready after {statistics.median(took):.0f} ms, {max(took):.0f} at worst; idle {resident} MiB")


def ready(port):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False


if __name__ == "__main__":
    main()
