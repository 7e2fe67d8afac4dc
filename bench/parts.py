#!/usr/bin/env python3
"""Where the CPU time of a server under load goes, by part and by function.

    parts.py [-t SECONDS] NAME:PORT:FRAME:COMMAND

The server is started and loaded as in ratio.py, with one frame, while perf samples it.
A sample belongs to the first part below that any function of its stack is in, so the
parts don't overlap and add up to all; functions are those that were running. Needs
what ratio.py needs, and perf (Debian: linux-perf).
"""

import argparse
import collections
import re
import subprocess
import sys
import tempfile

from ratio import Server, end

# In this order: what is collected or given to the system on behalf of a part isn't the
# part's.
PARTS = [
    ("collecting garbage", r"runtime\.(gcBgMarkWorker|gcAssistAlloc|bgsweep|bgscavenge|gcStart|gcMarkDone|gcMarkTermination)"),
    ("system calls", r"runtime/syscall/linux\.Syscall6|runtime\.(netpoll|futex|usleep)\b|entry_SYSCALL"),
    ("the token's key", r"/cache\.\(\*Keyer\)\.Key"),
    ("looking it up", r"/cache\.\(\*Cache\)\.Get"),
    ("reading the question", r"/authz\.\(?\*?wireCodec\)?\.Unmarshal"),
    ("writing the answer", r"/authz\.encodeAnswer"),
    ("the decision besides", r"/authz\.\(\*Engine\)\.decide"),
    ("receiving and sending the message", r"grpc\.\(\*serverStream\)\.(RecvMsg|SendMsg)"),
    ("the call's own", r"/authz\.handleCheck"),
    ("the call in grpc-go", r"grpc\.\(\*Server\)\.(handleStream|processRPC)"),
    ("frames, headers and streams that come in", r"grpc\.\(\*Server\)\.serveStreams|transport\.\(\*http2Server\)\.HandleStreams"),
    ("frames that go out", r"transport\.\(\*loopyWriter\)"),
    ("workers and scheduling", r""),
]


def samples(file):
    """The stacks, each a list of functions from the running one outwards."""
    out = subprocess.run(["perf", "script", "-i", file, "-F", "comm,ip,sym"], capture_output=True, text=True, check=True).stdout
    for text in out.strip().split("\n\n"):
        yield [line.strip().partition(" ")[2] or "?" for line in text.split("\n")[1:]]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("-t", type=float, default=8, help="seconds to look")
    p.add_argument("-c", type=int, default=4, help="connections")
    p.add_argument("-m", type=int, default=32, help="concurrent streams on each connection")
    p.add_argument("server", metavar="NAME:PORT:FRAME:COMMAND")
    a = p.parse_args()
    server = Server(a.server)
    try:
        server.wait()
        rate, _ = server.load(20000, a)
        with tempfile.NamedTemporaryFile() as file:
            record = ["perf", "record", "-q", "-F", "4999", "-g", "-p", str(server.process.pid), "-o", file.name]
            recording = subprocess.Popen([*record, "--", "sleep", str(a.t)])
            server.load(int(rate * (a.t + 1)), a)
            if recording.wait():
                sys.exit("parts.py: perf can't look; it may need kernel.perf_event_paranoid to be 1 or less")
            stacks = list(samples(file.name))
    finally:
        end([server])
    parts, functions = collections.Counter(), collections.Counter()
    for stack in stacks:
        whole = "\n".join(stack)
        parts[next(name for name, of in PARTS if re.search(of, whole))] += 1
        functions[stack[0] if stack else "?"] += 1
    for name, _ in PARTS:
        print(f"{parts[name] / len(stacks):6.1%}  {name}")
    print(f"\nby function, those above 1.5 % ({len(stacks)} samples):")
    for name, n in functions.most_common():
        if n / len(stacks) < 0.015:
            break
        print(f"{n / len(stacks):6.1%}  {name}")


if __name__ == "__main__":
    main()
