#!/usr/bin/env python3
"""Stands for vhost-device-vsock and for QEMU, by the name it is called by, as far as driver qemu of sign-host sees them: sockets and
arguments. QEMU_STANDIN says what goes wrong: no-socket, daemon-ends, no-beat, wrong-beat, no-listener, qemu-ends, dies, bad-image."""
import os
import re
import socket
import sys
import threading
import time

MODE = os.environ.get("QEMU_STANDIN", "")


def forever():
    while True:
        time.sleep(10)


def daemon():
    """The guest's ports listen as soon as there is a file `up` in the folder, which the other one makes."""
    words = dict(w.split("=", 1) for w in sys.argv[2].split(","))
    folder = os.path.dirname(words["uds-path"])
    if MODE == "no-socket":
        forever()
    if MODE == "daemon-ends":
        sys.exit("Could not create the vsock backend")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(words["uds-path"])
    listener.listen(16)
    vhost = socket.socket(socket.AF_UNIX)
    vhost.bind(words["socket"])
    vhost.listen(1)
    while True:
        conn, _ = listener.accept()
        threading.Thread(target=serve, args=(conn, folder), daemon=True).start()


def serve(conn, folder):
    line = b""
    while not line.endswith(b"\n") and len(line) < 64:
        line += conn.recv(1)
    if re.fullmatch(rb"CONNECT \d+\n", line) and os.path.exists(folder + ".up"):
        conn.sendall(b"OK 1073741824\n")
        while conn.recv(4096):
            pass
    conn.close()


def qemu():
    chardevs = dict(re.findall(r"socket,id=(\w+),path=(\S+)", " ".join(sys.argv)))
    folder = os.path.dirname(chardevs["vhost"])
    for path in chardevs.values():
        s = socket.socket(socket.AF_UNIX)
        s.connect(path)
        if path == chardevs["console"]:
            console = s
    console.sendall(b"stand-in boots\r\n")
    if MODE == "bad-image":
        sys.exit("qemu-system-x86_64: EIF: the image is not one")
    if MODE == "no-beat":
        forever()
    beat = socket.socket(socket.AF_UNIX)
    beat.connect(folder + "/vm.vsock_9000")
    beat.sendall(b"\xb8" if MODE == "wrong-beat" else b"\xb7")
    if MODE != "wrong-beat":
        assert beat.recv(1) == b"\xb7"
    if MODE == "no-listener":
        forever()
    if MODE == "qemu-ends":
        sys.exit(0)
    open(folder + ".up", "w").close()
    time.sleep(1.5 if MODE == "dies" else 0)
    if MODE == "dies":
        sys.exit(0)
    forever()


daemon() if "vhost-device-vsock" in sys.argv[0] else qemu()
