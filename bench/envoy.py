#!/usr/bin/env python3
"""CPU time of a request through a real Envoy, by what Envoy asks before it answers.

    envoy.py [-t SECONDS] [-r ROUNDS] [-c CONNECTIONS] [-m STREAMS] CONFIG

Each row is an Envoy with one worker that answers every request by itself, so that
nothing but the check differs:

    no filter     nothing is checked
    floor         ext_authz asks bin/floor, all headers are sent
    credence      ext_authz asks Credence with CONFIG, under the configuration that
                  `credence envoy-config` prints
    jwt_authn     Envoy's own filter verifies the token: signature, iss, aud, exp
    jwt_authn, cached   the same with its token cache

Envoy and what it asks are pinned to CPU 0, h2load to CPU 1. Each round starts all of
them anew: where its memory happens to lie makes one Envoy a sixth dearer than the
next. A load counts only if every answer has status 200. CPU time is that of all
threads of both, divided by requests: the mean of the rounds, and which part of it is
Envoy's. The figure at the end of a line is what the check adds to no filter, as a
ratio to what the floor adds, in the median round. Needs what ratio.py needs, the
fixtures that run makes, and Envoy in CREDENCE_ENVOY, ../.tools or the PATH.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from ratio import BIN, cpu_seconds, free_port

HERE = pathlib.Path(__file__).resolve().parent
HOST, PATH = "shop.example.test", "/api/v1/orders/4711?expand=items&limit=50"
TYPE = "type.googleapis.com/envoy.extensions.filters"

# What a browser's request has, as in mkframe.
HEADERS = {
    "accept": "application/json, text/plain, */*",
    "accept-encoding": "gzip, deflate, br",
    "accept-language": "en-GB,en;q=0.9,de;q=0.8",
    "cache-control": "no-cache",
    "cookie": "theme=dark; _ga=GA1.1.1234567890.1763800000; consent=all",
    "referer": "https://shop.example.test/orders",
    "sec-fetch-dest": "empty",
    "sec-fetch-mode": "cors",
    "sec-fetch-site": "same-origin",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
}


def find_envoy():
    for name in (os.environ.get("CREDENCE_ENVOY", ""), str(HERE.parent / ".tools/envoy/bin/envoy"), "envoy"):
        if name and shutil.which(name):
            return shutil.which(name)
    sys.exit("envoy.py: there is no Envoy here; tools/install gets one")


def bootstrap(port, filters, clusters=()):
    manager = {
        "@type": f"{TYPE}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "use_remote_address": True,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
        "http_filters": [*filters, {"name": "router", "typed_config": {"@type": f"{TYPE}.http.router.v3.Router"}}],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "application",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}}}],
                }
            ]
        },
    }
    listener = {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return json.dumps({"static_resources": {"listeners": [listener], "clusters": list(clusters)}})


def ext_authz(check):
    """The plainest ext_authz: all headers are sent."""
    http2 = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    cluster = {
        "name": "check",
        "type": "STATIC",
        "typed_extension_protocol_options": {
            http2: {"@type": f"type.googleapis.com/{http2}", "explicit_http_config": {"http2_protocol_options": {}}}
        },
        "load_assignment": {
            "cluster_name": "check",
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": check}}}}]}
            ],
        },
    }
    settings = {
        "@type": f"{TYPE}.http.ext_authz.v3.ExtAuthz",
        "transport_api_version": "V3",
        "grpc_service": {"envoy_grpc": {"cluster_name": "check"}, "timeout": "5s"},
    }
    return [{"name": "ext_authz", "typed_config": settings}], [cluster]


def jwt_authn(cached):
    provider = {
        "issuer": "https://idp.example.test/realms/main",
        "audiences": ["api"],
        "local_jwks": {"filename": str(HERE / "fixtures/jwks.json")},
        "forward": True,
    }
    if cached:
        provider["jwt_cache_config"] = {"jwt_cache_size": 1000}
    rule = {"match": {"prefix": "/"}, "requires": {"provider_name": "main"}}
    settings = {"@type": f"{TYPE}.http.jwt_authn.v3.JwtAuthentication", "providers": {"main": provider}, "rules": [rule]}
    return [{"name": "jwt_authn", "typed_config": settings}]


def printed(config, port):
    """What Credence prints, answering by itself in place of the application."""
    text = subprocess.run(
        [BIN / "credence", "envoy-config", "-c", config, "--listen", f"127.0.0.1:{port}", "--timeout", "5s"],
        capture_output=True, text=True, check=True,
    ).stdout
    answered = text.replace("route: {cluster: application}", 'direct_response: {status: 200, body: {inline_string: "ok"}}')
    if answered == text:
        sys.exit("envoy.py: the printed configuration has no route to the application")
    return answered


class Row:
    def __init__(self, name, envoy, folder, port, config, command=()):
        self.name, self.port, self.processes = name, port, []
        self.costs, self.envoys = [], []  # CPU microseconds a request, of both and of Envoy
        path = folder / f"{port}.yaml"
        path.write_text(config)
        self.commands = [[envoy, "-c", path, "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "off"]]
        if command:
            self.commands.append(command)

    def start(self):
        self.processes = [
            subprocess.Popen(["taskset", "-c", "0", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for command in self.commands
        ]

    def wait(self):
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        sys.exit(f"{self.name}: nothing listens on port {self.port}")

    def load(self, requests, a, headers):
        before = [cpu_seconds(p) for p in self.processes]
        out = subprocess.run(
            ["taskset", "-c", "1", "h2load", "-n", str(requests), "-c", str(a.c), "-m", str(a.m)]
            + [f"--connect-to=127.0.0.1:{self.port}", *headers, f"http://{HOST}{PATH}"],
            capture_output=True, text=True,
        ).stdout
        cpu = [cpu_seconds(p) - was for p, was in zip(self.processes, before)]
        ok, rate = re.search(r"status codes: (\d+) 2xx", out), re.search(r"([\d.]+) req/s", out)
        if not ok or int(ok[1]) != requests:
            sys.exit(f"{self.name}: not every answer was 200:\n{out[-800:]}")
        return float(rate[1]), [c / requests * 1e6 for c in cpu]

    def end(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(10)
        self.processes = []


def rows(a, envoy, folder):
    token = (HERE / "fixtures/token.RS256").read_text().strip()
    floor = free_port()

    def row(name, filters, clusters=(), command=()):
        port = free_port()
        return Row(name, envoy, folder, port, bootstrap(port, filters, clusters), command)

    port = free_port()
    all_rows = [
        row("no filter", []),
        row("floor", *ext_authz(floor), command=[BIN / "floor", "-listen", f"127.0.0.1:{floor}"]),
        Row("credence", envoy, folder, port, printed(a.config, port), [BIN / "credence", "serve", "--config", a.config, "--drain-delay", "0s"]),
        row("jwt_authn", jwt_authn(False)),
        row("jwt_authn, cached", jwt_authn(True)),
    ]
    headers = [f"-H{name}: {value}" for name, value in {**HEADERS, "authorization": f"Bearer {token}"}.items()]
    return all_rows, headers


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("-t", type=float, default=0.5, help="seconds that a load lasts, roughly")
    p.add_argument("-r", type=int, default=15, help="rounds")
    p.add_argument("-c", type=int, default=4, help="connections")
    p.add_argument("-m", type=int, default=32, help="concurrent streams on each connection")
    p.add_argument("config", help="Credence's configuration, as run writes it")
    a = p.parse_args()
    envoy = find_envoy()
    with tempfile.TemporaryDirectory() as folder:
        all_rows, headers = rows(a, envoy, pathlib.Path(folder))
        for n in range(a.r):
            one_round(all_rows if n % 2 == 0 else all_rows[::-1], a, headers)
    nothing, floor = all_rows[0].costs, all_rows[1].costs
    for r in all_rows:
        added = statistics.median((x - n) / (f - n) for x, f, n in zip(r.costs, floor, nothing))
        print(
            f"{r.name:<20} {statistics.mean(r.costs):7.2f} us CPU/req ({statistics.mean(r.envoys):.1f} Envoy)  adds x{added:.3f}"
        )


def one_round(all_rows, a, headers):
    try:
        for r in all_rows:
            r.start()
        for r in all_rows:
            r.wait()
        time.sleep(1)
        for r in all_rows:
            r.load(2000, a, headers)
            requests = max(1000, int(r.load(3000, a, headers)[0] * a.t))
            cpu = r.load(requests, a, headers)[1]
            r.costs.append(sum(cpu))
            r.envoys.append(cpu[0])
    finally:
        for r in all_rows:
            r.end()


if __name__ == "__main__":
    main()
