#!/usr/bin/python3
"""Runs in the guest: connections of CID 1 (the guest itself) through sign-host proxy and bridge, between AF_VSOCK and TCP."""
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time

HOST = f"{os.environ['CS_BIN']}/sign-host"
RUN = os.environ["CS_RUN"]
DATA = hashlib.shake_256(b"bytes").digest(3000000)
failed = False


def check(name, ok, detail=""):
    global failed
    failed = failed or not ok
    print(f"ok {name}" if ok else f"not ok {name} ({str(detail)[:300]})", flush=True)


def serve(listener):
    """Reads to the end of file, then answers with a digest and all of it: only half-close lets that arrive."""
    while True:
        s, _ = listener.accept()
        got = bytearray()
        try:
            while more := s.recv(1 << 16):
                got += more
            s.sendall(hashlib.sha256(got).digest() + got)
        except OSError:
            pass
        s.close()


def ask(family, where, data):
    got = bytearray()
    with socket.socket(family) as s:
        s.settimeout(60)
        try:
            s.connect(where)
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            while more := s.recv(1 << 16):
                got += more
        except OSError as e:
            return e
    return bytes(got)


def whole(data):
    return hashlib.sha256(data).digest() + data


def start(name, *args):
    log = open(f"{RUN}/{name}.err", "w+b")
    p = subprocess.Popen([HOST, *args], stdin=subprocess.DEVNULL, stderr=log)
    for _ in range(600):
        if b'"event":"listening"' in open(log.name, "rb").read() or p.poll() is not None:
            break
        time.sleep(0.05)
    return p, log.name


def stop(p):
    p.send_signal(signal.SIGTERM)
    return p.wait(60)


tcp = socket.create_server(("127.0.0.1", 0))
port = tcp.getsockname()[1]
vsock = socket.socket(socket.AF_VSOCK)
vsock.bind((socket.VMADDR_CID_ANY, 7001))
vsock.listen()
for listener in (tcp, vsock):
    threading.Thread(target=serve, args=(listener,), daemon=True).start()
with open(f"{RUN}/allow.yaml", "w") as f:
    f.write(f"allowlist:\n- {{address: 127.0.0.1, port: {port}}}\n")
proxy = ["proxy", "--config", f"{RUN}/allow.yaml"]

p, log = start("strict", *proxy, "8000", "127.0.0.1", str(port))
answer = ask(socket.AF_VSOCK, (1, 8000), b"hello")
check("a-program-of-the-parent-is-refused", answer == b"" or isinstance(answer, OSError), answer)
check("and-the-log-says-whose-cid", b'"code":"PROXY_PEER"' in open(log, "rb").read() and b'"cid":1' in open(log, "rb").read())
p2 = subprocess.run([HOST, *proxy, "8000", "127.0.0.1", str(port)], capture_output=True, text=True, check=False)
check("port-in-use", p2.returncode == 1 and "EXISTS" in p2.stderr and "vsock:any:8000" in p2.stderr, p2.stderr)
check("ends", stop(p) == 0)

p, log = start("named", *proxy, "--peer-cid", "1", "8000", "127.0.0.1", str(port))
check("vsock-to-tcp", ask(socket.AF_VSOCK, (1, 8000), b"hello") == whole(b"hello"))
check("vsock-to-tcp-stream-and-half-close", ask(socket.AF_VSOCK, (1, 8000), DATA) == whole(DATA))
check("ends-named", stop(p) == 0)

p, log = start("pairs", "bridge", "--peer-cid", "any", "--listen", "tcp:127.0.0.1:7002", "--to", "vsock:1:7001",
               "--listen", "vsock:any:7003", "--to", "vsock:1:7001", "--listen", "tcp:127.0.0.1:7004", "--to", "vsock:1:7999")
check("tcp-to-vsock-stream-and-half-close", ask(socket.AF_INET, ("127.0.0.1", 7002), DATA) == whole(DATA))
check("vsock-to-vsock", ask(socket.AF_VSOCK, (1, 7003), DATA[:300000]) == whole(DATA[:300000]))
answer = ask(socket.AF_INET, ("127.0.0.1", 7004), b"x")
check("nobody-listens", answer == b"" or isinstance(answer, ConnectionResetError), answer)
check("ends-pairs", stop(p) == 0)
sys.exit(1 if failed else 0)
