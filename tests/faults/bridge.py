#!/usr/bin/python3
"""sign-host bridge whose nth malloc, calloc or realloc after a moment fails (fail_malloc.so): at most the connection that was hit is
lost, never a byte of it changed; the next one works, and the bridge ends in order. The other side reads late, so that bytes are held.
CS_FAULT_SAMPLES: as in memory.py; here the number of points is small and all of them are tried."""
import mmap
import os
import random
import signal
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
DATA = random.Random(2).randbytes(1200000)
failed = False


def check(name, ok, detail=""):
    global failed
    failed = failed or not ok
    print(f"ok {name}" if ok else f"not ok {name} ({str(detail)[:300]})", flush=True)


class Orders:
    def __init__(self, path):
        self.path = path
        with open(path, "wb") as f:
            f.write(bytes(32))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 32)

    def set(self, first, count):
        self.map[0:32] = bytes(32)
        self.map[8:24] = struct.pack("<QQ", first, first + count if first else 0)

    def seen(self):
        return struct.unpack("<Q", self.map[0:8])[0]


def serve(listener):
    """Reads late, answers with what it got."""
    def one(s):
        got = bytearray()
        try:
            time.sleep(0.02)
            while more := s.recv(1 << 16):
                got += more
            s.sendall(got)
        except OSError:
            pass
        s.close()
    while True:
        try:
            s, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=one, args=(s,), daemon=True).start()


def exchange(near):
    """"whole", "lost" (ended early, nothing wrong before), or what is wrong"""
    got = bytearray()
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        try:
            s.connect(near)
            s.sendall(DATA)
            s.shutdown(socket.SHUT_WR)
            while more := s.recv(1 << 16):
                got += more
        except TimeoutError:
            return "silent"
        except OSError:
            pass
    if bytes(got) == DATA:
        return "whole"
    return "lost" if DATA.startswith(bytes(got)) else "changed"


def main():
    if not os.access(SHIM, os.R_OK):
        print(f"skip bridge-faults ({SHIM} was not built)")
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="csb") as d:
        orders, near = Orders(f"{d}/orders"), f"{d}/near"
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        p = subprocess.Popen([f"{BIN}/sign-host", "bridge", "--listen", f"unix:{near}", "--to", f"tcp:127.0.0.1:{listener.getsockname()[1]}",
                              "--threads", "1", "--log-level", "error"], env=dict(os.environ, LD_PRELOAD=SHIM, CS_FAIL_MAP=orders.path))
        while not os.path.exists(near):
            time.sleep(0.01)
        check("works", exchange(near) == "whole")
        orders.set(0, 0)
        exchange(near)
        total, lost, wrong = orders.seen(), 0, {}
        for count in (1, 3):
            for n in range(1, total + 3):
                orders.set(n, count)
                hit = exchange(near)
                orders.set(0, 0)
                after = exchange(near)
                lost += hit == "lost"
                if hit not in ("whole", "lost") or after != "whole" or p.poll() is not None:
                    wrong[n, count] = (hit, after, p.poll())
                    break
        print(f"# {total} requests for a connection; {lost} connections lost")
        check("only-the-connection-that-was-hit", not wrong and lost > 0 and total > 1, (wrong, lost, total))
        p.send_signal(signal.SIGTERM)
        check("ends-in-order", p.wait(40) == 0)
        listener.close()
    sys.exit(1 if failed else 0)


main()
