#!/usr/bin/python3
"""sign-gateway while it serves, with the nth request for memory refused (fail_malloc.so): calls and a stream through it, a room, and
attest over HTTP, on new connections, for sampled n. What was hit may fail; the process must live, and soon a round succeeds whole."""
import importlib.util
import json
import mmap
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("CS_FAULT_BUILD", f"{ROOT}/build/release")
SHIM = f"{BUILD}/tests/faults/fail_malloc.so"
SAMPLES = int(os.environ.get("CS_FAULT_SAMPLES", "40"))
if "CS_FAULT_BUILD" not in os.environ:  # else the programs are in PATH
    os.environ["PATH"] = f"{ROOT}/build/bin:" + os.environ["PATH"]
spec = importlib.util.spec_from_file_location("grpc_python", f"{ROOT}/tests/interop/grpc_python.py")
g = importlib.util.module_from_spec(spec)
spec.loader.exec_module(g)  # ends with 77 without grpcio


def ask(port, data, until, timeout):
    """The bytes of an answer up to `until`, or what came instead."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as c:
        c.settimeout(timeout)
        c.sendall(data)
        got = b""
        while until not in got:
            more = c.recv(65536)
            if not more:
                return got
            got += more
        return got


class Driven:
    def __init__(self, base, service):
        self.orders, self.ports, self.log = f"{base}/orders", f"{base}/ports", f"{base}/log"
        with open(self.orders, "wb") as f:
            f.write(bytes(32))
        with open(self.orders, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 32)
        if os.path.exists(self.ports):
            os.unlink(self.ports)
        self.process = subprocess.Popen(
            ["sign-gateway", "--listen-grpc", "tcp:127.0.0.1:0", "--listen-http", "tcp:127.0.0.1:0", "--service", f"tcp:127.0.0.1:{service}",
             "--print-ports", self.ports], stdin=subprocess.DEVNULL, stderr=open(self.log, "w"),
            env={**os.environ, "LD_PRELOAD": SHIM, "CS_FAIL_MAP": self.orders})
        g.wait_for(lambda: os.path.exists(self.ports), 10)
        rows = dict(line.strip().split("=", 1) for line in open(self.ports))
        self.grpc, self.http = (int(rows[name].rsplit(":", 1)[1]) for name in ("GATEWAY_GRPC", "GATEWAY_HTTP"))
        self.count = 0

    def order(self, first, count):
        self.map[8:24] = bytes(16)
        self.map[0:8] = bytes(8)
        self.map[8:24] = struct.pack("<QQ", first, first + count if first else 0)

    def seen(self):
        return struct.unpack("<Q", self.map[0:8])[0]

    def calls(self, timeout):
        channel = g.grpc.insecure_channel(f"127.0.0.1:{self.grpc}", options=[("grpc.use_local_subchannel_pool", 1)])
        try:
            nonce = os.urandom(32)
            if g.fields(channel.unary_unary(g.ATTEST_PATH)(g.field(1, nonce) + g.field(2, b"a"), timeout=timeout))[1] != nonce + b"a":
                return "attest"
            if g.fields(channel.unary_unary(g.HEALTH + "Check")(b"", timeout=timeout)).get(1) != 1:
                return "health"
            stream = channel.stream_stream(g.SESSION)(iter([g.frame(b"x" * 40000), g.frame(b"end:OK")]), timeout=timeout)
            return None if [len(g.fields(m)[1]) for m in stream] == [40000] else "session"
        except (g.grpc.RpcError, KeyError, IndexError) as e:
            return e.code().name if isinstance(e, g.grpc.RpcError) else repr(e)
        finally:
            channel.close()

    def rooms(self, timeout):
        self.count += 1
        room = b"r%d" % self.count
        body = b'{"sender":0,"receiver":null,"body":"%s"}' % (b"A" * 20000)
        post = b"POST /rooms/%s/broadcast HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (room, len(body), body)
        nonce = json.dumps({"nonce": "A" * 24}).encode()
        attest = b"POST /v1/attest HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(nonce), nonce)
        try:
            for name, data, until in (("post", post, b'{"id":0}'), ("subscribe", b"GET /rooms/%s/subscribe HTTP/1.1\r\nHost: x\r\n\r\n" % room, b"AAAA\"}\n\n"),
                                      ("attest", attest, b'"document"')):
                got = ask(self.http, data, until, timeout)
                if until not in got:
                    return f"{name}: {re.sub(rb'A{100,}', b'A', got)[-200:]}"
            return None
        except OSError as e:
            return repr(e)

    def round(self, timeout):
        """None, or what did not work."""
        return self.calls(timeout) or self.rooms(timeout)

    def soon(self, seconds):
        end, last = time.monotonic() + seconds, "never"
        while last is not None and time.monotonic() < end:
            last = self.round(2)
        return last


def main():
    if not os.access(SHIM, os.R_OK):
        print(f"skip gateway (no {SHIM})")
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="csf") as base:
        service = g.Service()
        service.core.phase = "SERVING"
        d = Driven(base, service.port)
        wrong, lost, points = [], 0, 0
        try:
            g.check("serves_without_a_fault", d.soon(10) is None and d.round(10) is None)
            d.order(0, 0)
            g.check("serves_again", d.round(10) is None)
            total = d.seen()
            for count in (1, 1 << 40):
                for n in range(1, total + 1, max(1, total // SAMPLES) if SAMPLES else 1):
                    points += 1
                    d.order(n, count)
                    lost += d.round(0.5) is not None
                    d.order(0, 0)
                    after = d.soon(5)
                    if d.process.poll() is not None:
                        wrong.append(f"request {n} of {count}: ended with {d.process.returncode}, libuv {d.map[24]}: {open(d.log).read()[-200:]}")
                        d = Driven(base, service.port)
                        d.soon(10)
                    elif after is not None:
                        wrong.append(f"request {n} of {count}: afterwards {after}")
            for line in wrong[:12]:
                print(f"# {line}")
            print(f"# {points} points of {total} requests, {lost} rounds lost something, {len(wrong)} wrong")
            g.check("survives_every_refused_request", not wrong and total > 20 and lost > 0, f"{len(wrong)} of {points}")
        finally:
            d.process.kill()
            service.channel.close()
            service.process.kill()
            g.shutil.rmtree(service.dir)
    sys.exit(1 if g.failed else 0)


main()
