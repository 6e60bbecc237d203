#!/usr/bin/python3
"""bench/bridge.py: sign-host bridge beside socat, in turn, from a Unix to a TCP socket and back; the load is build/release/bench/bench-bridge.
Prints one JSON line: medians, and for each ratio the smaller one of both directions. BENCH_BRIDGE_MS: length of one run (default 800),
BENCH_BRIDGE_ROUNDS: rounds (default 3)."""
import json
import os
import pathlib
import random
import socket
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
LOAD = ROOT / "build/release/bench/bench-bridge"
HOST = ROOT / "build/bin/sign-host"
MS = os.environ.get("BENCH_BRIDGE_MS", "800")
ROUNDS = int(os.environ.get("BENCH_BRIDGE_ROUNDS", "3"))
KINDS = (("bulk", 1, "bytes_per_second"), ("bulk", 64, "bytes_per_second"), ("rate", 32, "connections_per_second"), ("trip", 1, "p50_us"))


def free_port():
    """Below the range that outgoing connections use."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def ends(directory, way):
    unix, tcp = f"unix:{directory}/{random.randrange(1 << 30)}", f"tcp:127.0.0.1:{free_port()}"
    return (unix, tcp) if way == "unix-tcp" else (tcp, unix)


def ours(near, far):
    return [HOST, "bridge", "--listen", near, "--to", far, "--log-level", "error"]


def socat(near, far):
    scheme, at = near.split(":", 1)
    listen = f"UNIX-LISTEN:{at},fork,backlog=4096" if scheme == "unix" else \
        f"TCP-LISTEN:{at.split(':')[1]},bind=127.0.0.1,fork,reuseaddr,nodelay,backlog=4096"
    scheme, at = far.split(":", 1)
    return ["socat", listen, f"UNIX-CONNECT:{at}" if scheme == "unix" else f"TCP:{at},nodelay"]


def listens(near):
    scheme, at = near.split(":", 1)
    family, where = (socket.AF_UNIX, at) if scheme == "unix" else (socket.AF_INET, ("127.0.0.1", int(at.split(":")[1])))
    with socket.socket(family) as s:
        return s.connect_ex(where) == 0


def with_relay(command, near, work):
    p = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        for _ in range(500):
            if listens(near):
                break
            time.sleep(0.01)
        return work(p)
    finally:
        p.terminate()
        p.wait()


def load(near, far, kind, streams):
    out = subprocess.run([LOAD, "--connect", near, "--listen", far, "--ms", MS, "--streams", str(streams), kind],
                         capture_output=True, text=True, timeout=60, check=True)
    return json.loads(out.stdout)


def rss(pid):
    return next(int(x.split()[1]) * 1024 for x in open(f"/proc/{pid}/status") if x.startswith("VmRSS"))


def idle(directory):
    near, far = ends(directory, "unix-tcp")

    def work(p):
        q = subprocess.Popen([LOAD, "--connect", near, "--listen", far, "--streams", "2000", "idle"], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True)
        q.stdout.readline()
        size = rss(p.pid)
        q.communicate("end\n", timeout=60)
        return size
    return with_relay(ours(near, far), near, work)


def main():
    runs = {}
    with tempfile.TemporaryDirectory(prefix="csb") as d:
        for way in ("unix-tcp", "tcp-unix"):
            for kind, streams, _ in KINDS:
                for _ in range(ROUNDS):
                    for name, command in (("ours", ours), ("socat", socat)):
                        near, far = ends(d, way)
                        row = with_relay(command(near, far), near, lambda p, n=near, f=far, k=kind, s=streams: load(n, f, k, s))
                        runs.setdefault((way, kind, streams, name), []).append(row)
        result = {"bench": "bridge", "idle_2000_rss_bytes": idle(d)}

    def median(way, kind, streams, name, key):
        return statistics.median(r[key] for r in runs[way, kind, streams, name])

    for kind, streams, key in KINDS[:3]:
        label = f"{kind}{streams}"
        ratios = []
        for way in ("unix-tcp", "tcp-unix"):
            a, b = (median(way, kind, streams, name, key) for name in ("ours", "socat"))
            result[f"{label}_{way}"], result[f"{label}_{way}_socat"] = a, b
            ratios.append(a / b)
        result[f"{label}_ratio"] = round(min(ratios), 2)
    for key in ("p50_us", "p99_us"):
        result[f"trip_{key}"] = max(median(way, "trip", 1, "ours", key) for way in ("unix-tcp", "tcp-unix"))
        result[f"trip_{key}_socat"] = max(median(way, "trip", 1, "socat", key) for way in ("unix-tcp", "tcp-unix"))
    print(json.dumps(result))


main()
