#!/usr/bin/python3
"""Programs whose nth malloc, calloc or realloc fails (fail_malloc.so), for sampled n. A command must succeed with its whole
output, or exit 1 and say a code of the table; in both cases without a partial or temporary file. A daemon must go on serving: at
most the call that was hit is lost. A crash is never right. CS_FAULT_SAMPLES: points per command (default 40; 0: every one)."""
import json
import mmap
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("COUNTERSIGN_BIN", f"{ROOT}/build/bin")
SHIM = f"{ROOT}/build/release/tests/faults/fail_malloc.so"
SAMPLES = int(os.environ.get("CS_FAULT_SAMPLES", "40"))
TABLE = set(re.findall(r"^\s*X\((\w+),", open(f"{ROOT}/src/base/err_table.h").read(), re.M))
ALLOWED = {"NO_MEMORY", "IO"}
failed = False


def check(name, ok, detail=""):
    global failed
    failed = failed or not ok
    print(f"ok {name}" if ok else f"not ok {name} ({detail})", flush=True)


class Orders:
    """The numbers that fail_malloc.so reads."""

    def __init__(self, path):
        self.path = path
        with open(path, "wb") as f:
            f.write(bytes(32))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 32)

    def set(self, first, count=1):
        self.map[0:32] = bytes(32)
        self.map[8:24] = struct.pack("<QQ", first, first + count if first else 0)

    def seen(self):
        return struct.unpack("<Q", self.map[0:8])[0]

    def libuv(self):
        """The process ended by an abort() of libuv's own: not ours to prevent; listed by every run."""
        return self.map[24] == 1

    def env(self):
        return dict(os.environ, LD_PRELOAD=SHIM, CS_FAIL_MAP=self.path)


def samples(total):
    """All of the first points, then evenly spread ones, and the last."""
    if SAMPLES == 0 or total <= SAMPLES:
        return range(1, total + 1)
    dense = SAMPLES // 2
    rest = SAMPLES - dense
    return sorted(set(range(1, dense + 1)) | {dense + (total - dense) * i // rest for i in range(1, rest + 1)})


def codes(text):
    return [w for w in re.findall(r"\b[A-Z][A-Z0-9_]{1,30}\b", text) if w in TABLE]


class Commands:
    """Each command runs in a fresh folder `out`; what it leaves there is compared with a run in which nothing fails."""

    def __init__(self, base):
        self.base, self.out = base, f"{base}/out"
        self.orders = Orders(f"{base}/orders")

    def once(self, args, stdin, first, count):
        shutil.rmtree(self.out, ignore_errors=True)
        os.mkdir(self.out)
        self.orders.set(first, count)
        return subprocess.run([f"{BIN}/{args[0]}", *args[1:]], input=stdin, env=self.orders.env(), cwd=self.base,
                              capture_output=True, timeout=30, check=False)

    def tree(self):
        return sorted((os.path.relpath(os.path.join(d, n), self.out), os.path.getsize(os.path.join(d, n)))
                      for d, _, names in os.walk(self.out) for n in names)

    def judge(self, done, args, want, whole):
        """None, or what is wrong."""
        text = done.stdout.decode("utf-8", "replace") + done.stderr.decode("utf-8", "replace")
        left = self.tree()
        if done.returncode == -6 and self.orders.libuv() and not left:
            self.libuv += 1
            return None
        if done.returncode < 0 or done.returncode > 128:
            return f"signal {-done.returncode}: {text[-200:]}"
        if done.returncode == want:
            return None if left == whole else f"success, but left {left} instead of {whole}"
        if done.returncode != 1:
            return f"exit {done.returncode}: {text[-200:]}"
        if not set(codes(text)) & ALLOWED:
            return f"refused without NO_MEMORY or IO: {text[-200:]!r}"
        names = {n for n, _ in whole}
        if any(n not in names for n, _ in left) or any(f not in whole for f in left):
            return f"refused, but left {left}"
        return None

    def run(self, name, args, stdin=b"", want=0):
        done = self.once(args, stdin, 0, 0)
        total, whole = self.orders.seen(), self.tree()
        if done.returncode != want or total == 0:
            check(name, False, f"without a fault: exit {done.returncode}, {total} requests: {done.stderr[-300:]!r}")
            return
        wrong, refused, points, self.libuv = {}, 0, 0, 0
        for count in (1, 1 << 40):  # one request; that one and all after it
            for n in samples(total):
                done = self.once(args, stdin, n, count)
                points += 1
                refused += done.returncode == 1 and want == 0
                bad = self.judge(done, args, want, whole)
                if bad:
                    wrong[f"{n}{'' if count == 1 else '+'}"] = bad
        for n, bad in list(wrong.items())[:12]:
            print(f"# {name} request {n}: {bad}")
        print(f"# {name}: {points} points of {total} requests, {refused} refused, {len(wrong)} wrong"
              + (f", {self.libuv} aborts inside libuv (uv_loop_init)" if self.libuv else ""))
        check(name, not wrong, f"{len(wrong)} of {points} points; first {next(iter(wrong), '')}")


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)
    return path


CONFIG = """enclave: {{parentCid: 3}}
kms:
  region: eu-central-1
  keyArn: "arn:aws:kms:eu-central-1:111122223333:key/0c0ffee0-0000-4000-8000-000000000001"
  encryptionContext: {{app: sign}}
  host: kms.eu-central-1.amazonaws.com
  caFile: "{ca}"
shares:
  publishers: ["{publisher}"]
limits: {{arenaMiB: 64}}
logging: {{level: info}}
"""


def tool(*args):
    return subprocess.run([f"{BIN}/{args[0]}", *args[1:]], check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def commands(base):
    c = Commands(base)
    tool("signctl", "age", "keygen", "-o", f"{base}/age.key")
    recipient = re.search(r"public key: (\S+)", open(f"{base}/age.key").read()).group(1)
    plain = write(f"{base}/plain", os.urandom(100000))
    tool("signctl", "age", "encrypt", "-r", recipient, "-o", f"{base}/plain.age", plain)
    publisher = json.loads(tool("signctl", "publisher", "keygen", "-o", f"{base}/publisher.key", "--json").stdout)["publisher"]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    f"{base}/ca.key", "-out", f"{base}/ca.pem", "-subj", "/CN=x", "-days", "30"], check=True, capture_output=True)
    yaml = write(f"{base}/c.yaml", CONFIG.format(ca=f"{base}/ca.pem", publisher=publisher).encode())
    tool("signctl", "config", "compile", yaml, "-o", f"{base}/c.cbor")
    tool("sign-host", "image", "build", "--config", f"{base}/c.cbor", f"{base}/image")
    tool("signctl", "keygen", "-n", "2", "--plaintext", "-r", recipient, "-d", f"{base}/shares")
    doc = f"{ROOT}/fuzz/corpus/attest_doc/definite"
    c.run("age-keygen", ["signctl", "age", "keygen", "-o", "out/k"])
    c.run("age-encrypt", ["signctl", "age", "encrypt", "-r", recipient, "-o", "out/f", "plain"])
    c.run("age-decrypt", ["signctl", "age", "decrypt", "-i", "age.key", "-o", "out/f", "plain.age"])
    c.run("publisher-keygen", ["signctl", "publisher", "keygen", "-o", "out/k"])
    c.run("keygen", ["signctl", "keygen", "-n", "2", "-r", recipient, "--plaintext", "--publisher-key", "publisher.key", "-d", "out"])
    c.run("attest-show", ["signctl", "attest", "show", doc])
    c.run("attest-verify", ["signctl", "attest", "verify", "--any-pcrs", "--time", "document", doc], want=1)
    c.run("config-compile", ["signctl", "config", "compile", "c.yaml", "-o", "out/c.cbor"])
    c.run("sign-without-service", ["signctl", "sign", "-a", "account-1", "--digest", "11" * 32, "--any-pcrs", "--retries", "0", "--timeout-ms", "100",
                                   "--shares", "shares/client_key_shares.json", "-s", "tcp:127.0.0.1:1"], want=1)
    c.run("host-pcrs", ["sign-host", "pcrs", "image"])
    c.run("host-image-build", ["sign-host", "image", "build", "--config", "c.cbor", "out/image"])


def main():
    if not os.access(SHIM, os.R_OK):
        print(f"skip faults ({SHIM} was not built)")
        sys.exit(77)
    base = tempfile.mkdtemp(prefix="csf")
    try:
        commands(base)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    sys.exit(1 if failed else 0)


main()
