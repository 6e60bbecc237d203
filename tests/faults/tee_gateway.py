#!/usr/bin/python3
"""sign-gateway's TEE service with the nth request for memory refused (fail_malloc.so), for sampled n: a key is made and used, over gRPC and HTTP. What
was hit may fail, with a code; the process lives, and the same requests again are done: no key is given out that is not stored."""
import mmap
import os
import struct
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("CS_FAULT_BUILD", f"{ROOT}/build/release")
SHIM = f"{BUILD}/tests/faults/fail_malloc.so"
SAMPLES = int(os.environ.get("CS_FAULT_SAMPLES", "60"))
if "CS_FAULT_BUILD" not in os.environ:  # else the programs are in PATH
    os.environ["PATH"] = f"{ROOT}/build/bin:" + os.environ["PATH"]
sys.path.insert(0, f"{ROOT}/tests/interop")
import tee_gateway as t  # noqa: E402 - ends with 77 without its modules
import tee_gateway_core as fake  # noqa: E402


class Orders:
    """which requests for memory are refused"""

    def __init__(self, path):
        with open(path, "wb") as f:
            f.write(bytes(32))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 32)

    def set(self, first, count):
        self.map[8:24] = bytes(16)
        self.map[0:8] = bytes(8)
        self.map[8:24] = struct.pack("<QQ", first, first + count if first else 0)

    def seen(self):
        return struct.unpack("<Q", self.map[0:8])[0]

    def in_libuv(self):
        return struct.unpack("<Q", self.map[24:32])[0] != 0


class Round:
    """the same bytes each time it is run"""

    def __init__(self, g, app):
        self.g, self.record = g, f"r-{os.urandom(6).hex()}"
        self.generate = t.generate_pb(app, self.record, 3)
        self.sign = t.sign_pb(app, self.record, 3, 1, b"payload")
        body = app.body("Sign", [self.record, 3, 1, b"over http"])
        self.doc = {"auth": t.auth_json(app, body), "record": self.record, "algorithm": "ed25519", "message": t.b64(b"over http")}

    def run(self):
        """None, or what went wrong"""
        try:
            public = self.g.grpc_call("Generate", self.generate, 4)[1][0]
            signed = self.g.grpc_call("Sign", self.sign, 4)
            status, r = self.g.request("POST", "/v1/tee/sign", self.doc)
        except (t.grpc.RpcError, OSError, t.http.client.HTTPException, ValueError, KeyError) as e:
            return repr(e)[:300]
        if not fake.verify(3, public, 1, b"payload", signed[1][0]) or signed[3][0] != public:
            sys.exit("not ok a key was given out that is not stored")
        return None if status == 200 else str(r)


def main():
    app = fake.Caller("app")
    core = fake.Core([app])
    server, port = fake.serve(core)
    with tempfile.TemporaryDirectory() as folder:
        open(f"{folder}/root.pem", "wb").write(core.nsm.pem())
        orders = Orders(f"{folder}/orders")
        g = t.Gateway(port, folder, env={"LD_PRELOAD": SHIM, "CS_FAIL_MAP": f"{folder}/orders"})
        if not t.until(lambda: Round(g, app).run() is None, 20):
            sys.exit("not ok nothing works without a fault")
        orders.set(0, 0)
        Round(g, app).run()
        total, hit, failed = orders.seen(), 0, 0
        for i in range(SAMPLES):
            r = Round(g, app)
            orders.set(1 + i * total // SAMPLES, 1 + i % 3)
            hit += r.run() is not None
            orders.set(0, 0)
            if g.process.poll() is not None:
                if orders.in_libuv():
                    print(f"# ended by libuv's own abort at {i}")
                    g.start()
                    t.until(lambda: Round(g, app).run() is None, 20)
                else:
                    failed += 1
                    print(f"not ok memory-{i} (the process ended: {g.process.returncode})")
                    g.start()
            if not t.until(lambda r=r: r.run() is None, 20):
                failed += 1
                print(f"not ok memory-{i} ({r.run()})")
        print(f"# {total} requests for memory a round, {SAMPLES} samples, {hit} rounds hit")
        print("not ok memory" if failed or hit == 0 else "ok memory")
        g.end()
    server.stop(0)
    sys.exit(1 if failed or hit == 0 else 0)


main()
