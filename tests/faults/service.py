#!/usr/bin/python3
"""sign-service-local while it serves, with the nth request for memory refused (fail_malloc.so): calls, a session and an injection
on a new connection, for sampled n. What was hit may fail; the process must live, and the next round must succeed whole. One end
is by design: when core cannot be told that a stream ended, the program logs `end_lost` with NO_MEMORY and exits 1 to be started
again (service/core_link.c). Those are counted and printed; any other end is wrong."""
import importlib.util
import mmap
import os
import shutil
import struct
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHIM = f"{ROOT}/build/release/tests/faults/fail_malloc.so"
SAMPLES = int(os.environ.get("CS_FAULT_SAMPLES", "40"))
os.environ["PATH"] = f"{ROOT}/build/bin:" + os.environ["PATH"]
spec = importlib.util.spec_from_file_location("grpc_python", f"{ROOT}/tests/interop/grpc_python.py")
g = importlib.util.module_from_spec(spec)
spec.loader.exec_module(g)  # ends with 77 without grpcio


class Driven:
    def __init__(self, base):
        path = f"{base}/orders"
        with open(path, "wb") as f:
            f.write(bytes(32))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 32)
        os.environ.update(LD_PRELOAD=SHIM, CS_FAIL_MAP=path)
        try:
            self.s = g.Service()
        finally:
            del os.environ["LD_PRELOAD"], os.environ["CS_FAIL_MAP"]

    def order(self, first, count):
        self.map[8:24] = bytes(16)
        self.map[0:8] = bytes(8)
        self.map[8:24] = struct.pack("<QQ", first, first + count if first else 0)

    def seen(self):
        return struct.unpack("<Q", self.map[0:8])[0]

    def round(self, timeout):
        """None, or what did not work."""
        channel = g.grpc.insecure_channel(f"127.0.0.1:{self.s.port}", options=[("grpc.use_local_subchannel_pool", 1)])
        bad = None
        try:
            nonce = os.urandom(32)
            attest = channel.unary_unary(g.ATTEST_PATH)
            if g.fields(attest(g.field(1, nonce) + g.field(2, b"a"), timeout=timeout))[1] != nonce + b"a":
                bad = "attest"
            stream = channel.stream_stream(g.SESSION)(iter([g.frame(b"x" * 40000), g.frame(b"end:OK")]), timeout=timeout)
            if [len(g.fields(m)[1]) for m in stream] != [40000]:
                bad = "session"
        except (g.grpc.RpcError, KeyError, IndexError) as e:
            bad = e.code().name if isinstance(e, g.grpc.RpcError) else repr(e)
        finally:
            channel.close()
        try:
            answer = self.s.inject("shares", b"y" * 70000)["code"]
        except OSError as e:  # nobody listens: the caller looks whether the process lives
            answer = repr(e)
        return bad or (None if answer == "OK" else answer)


def main():
    if not os.access(SHIM, os.R_OK):
        print(f"skip service (no {SHIM})")
        sys.exit(77)
    base = tempfile.mkdtemp(prefix="csf")
    d = Driven(base)
    wrong, lost, points, restarts = [], 0, 0, 0
    try:
        g.check("serves_without_a_fault", d.round(10) is None and d.round(10) is None)
        d.order(0, 0)
        g.check("serves_again", d.round(10) is None)
        total = d.seen()
        for count in (1, 1 << 40):
            step = max(1, total // SAMPLES) if SAMPLES else 1
            for n in range(1, total + 1, step):
                points += 1
                d.order(n, count)
                lost += d.round(0.5) is not None
                d.order(0, 0)
                try:
                    ended = d.s.process.wait(0.02)
                except g.subprocess.TimeoutExpired:
                    ended = None
                if ended is not None:
                    log = open(f"{d.s.dir}/log").read()
                    lines = [g.json.loads(x) for x in log.splitlines()]
                    told = any(x["event"] == "end_lost" and x.get("code") == "NO_MEMORY" for x in lines)
                    restarts += ended == 1 and told
                    if ended != 1 or not told:
                        wrong.append(f"request {n} of {count}: ended with {ended}, libuv {d.map[24]}: {log[-200:]}")
                    shutil.rmtree(d.s.dir, ignore_errors=True)
                    d.s.channel.close()
                    d = Driven(base)
                    d.round(10)
                    continue
                after = d.round(5)
                if after is not None:
                    wrong.append(f"request {n} of {count}: next round {after}")
        for line in wrong[:12]:
            print(f"# {line}")
        print(f"# {points} points of {total} requests, {lost} rounds lost a call, {restarts} ends with end_lost, {len(wrong)} wrong")
        g.check("survives_every_refused_request", not wrong and total > 20 and lost > 0, f"{len(wrong)} of {points}")
    finally:
        d.s.channel.close()
        d.s.process.kill()
        shutil.rmtree(d.s.dir, ignore_errors=True)
        shutil.rmtree(base, ignore_errors=True)
    sys.exit(1 if g.failed else 0)


main()
