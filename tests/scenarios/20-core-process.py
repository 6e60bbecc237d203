#!/usr/bin/env python3
# programs: release
"""sign-core-emulated as a process: descriptors in, frames out, the system call filter on, broken links, orderly end."""
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading


def head(major, n):
    if n < 24:
        return bytes([major << 5 | n])
    for code, form, top in ((24, ">B", 1 << 8), (25, ">H", 1 << 16), (26, ">I", 1 << 32), (27, ">Q", 1 << 64)):
        if n < top:
            return bytes([major << 5 | code]) + struct.pack(form, n)
    raise ValueError(n)


def enc(v):
    if v is True or v is False:
        return b"\xf5" if v else b"\xf4"
    if isinstance(v, int):
        return head(0, v)
    if isinstance(v, bytes):
        return head(2, len(v)) + v
    if isinstance(v, str):
        return head(3, len(v.encode())) + v.encode()
    if isinstance(v, list):
        return head(4, len(v)) + b"".join(map(enc, v))
    return head(5, len(v)) + b"".join(enc(k) + enc(v[k]) for k in sorted(v, key=enc))


def dec(b, i=0):
    major, n = b[i] >> 5, b[i] & 31
    i += 1
    if n >= 24 and major != 7:
        size = 1 << (n - 24)
        n, i = int.from_bytes(b[i:i + size], "big"), i + size
    if major == 0:
        return n, i
    if major in (2, 3):
        return (b[i:i + n] if major == 2 else b[i:i + n].decode()), i + n
    if major == 7:
        return {20: False, 21: True, 22: None}[n], i
    out = []
    for _ in range(n * (major - 3)):
        v, i = dec(b, i)
        out.append(v)
    return (out if major == 4 else dict(zip(out[::2], out[1::2]))), i


CONFIG = {"debugAllowed": False, "region": "eu-central-1", "keyArn": "arn:x", "encryptionContext": {}, "publishers": [],
          "requireSignedShares": True, "minGeneration": 0, "maxBytes": 1 << 20, "sessions": 16, "silenceMs": 10000,
          "arenaMiB": 16, "keyShareFile": "", "level": "info", "teeEnabled": False, "teeKmsKeyArns": [], "teeDataKeyCacheSeconds": 0,
          "teeDataKeyCacheEntries": 16, "teeWorkers": 1, "teeQueue": 4, "teeWindowSeconds": 60, "teeRequireApproval": {}}
failed = 0


def case(name, good, why=""):
    global failed
    failed += not good
    print("ok" if good else "not ok", name, "" if good else why)


class Module(threading.Thread):
    """The security module: PCRs of 0x11, documents that are the public key."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(path)
        self.listener.listen(8)

    def run(self):
        while True:
            conn, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()

    def serve(self, conn):
        while request := conn.recv(4096):
            name, fields = next(iter(dec(request)[0].items()))
            if name == "DescribePCR":
                conn.send(enc({name: {"lock": True, "data": b"\x11" * 48}}))
            else:
                conn.send(enc({name: {"document": fields["public_key"] or b"none"}}))


class Core:
    def __init__(self, config, nsm, program="sign-core-emulated"):
        self.service, service = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.kms, kms = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.service.settimeout(30)
        self.kms.settimeout(30)
        fd = os.memfd_create("config")
        os.write(fd, config)
        args = [program, "--config-fd", str(fd), "--link-service", str(service.fileno()), "--link-kms", str(kms.fileno())]
        if nsm:
            args += ["--nsm", "unix:" + nsm]
        self.process = subprocess.Popen(args, pass_fds=[fd, service.fileno(), kms.fileno()], stderr=subprocess.PIPE)
        service.close()
        kms.close()
        os.close(fd)

    def send(self, *frame):
        self.service.send(enc(list(frame)))

    def receive(self):
        return dec(self.service.recv(1 << 18))[0]

    def status(self):
        self.send(5, 1)
        return json.loads(self.receive()[2])

    def end(self):
        log = self.process.communicate(timeout=30)[1].decode()
        return self.process.returncode, log


with tempfile.TemporaryDirectory() as work:
    nsm = work + "/nsm.sock"
    Module(nsm).start()
    core = Core(enc(CONFIG), nsm)
    status = core.status()
    sanitized = not status["filtered"]
    case("it answers when it is ready", status["phase"] == "WAITING" and status["emulated"] is True, status)
    case("the process is filtered", sanitized or "Seccomp:\t2" in open(f"/proc/{core.process.pid}/status").read(), status)
    core.send(4, 2, b"n" * 16, "")
    reply = core.receive()
    case("it attests its RSA key", reply[:3] == [36, 2, "OK"] and len(reply[3]) > 256, reply)
    core.send(1, 9)
    case("no party is served before shares are there", core.receive() == [34, 9, "NOT_SERVING"])
    big = b"\0" * (192 * 1024)
    core.send(7, 20)
    for _ in range(6):
        core.send(8, 20, big)
    core.send(9, 20)
    case("a file that is too large is refused", core.receive()[:3] == [38, 20, "TOO_LARGE"])
    core.send(6, 30, b"sealed identity")
    case("the first file is received", core.receive()[:3] == [38, 30, "OK"])
    core.kms.send(enc([97, 0, 1, 1 << 50]))
    core.send(7, 31)
    core.send(8, 31, b"sealed shares")
    core.send(9, 31)
    call = dec(core.kms.recv(1 << 18))[0]
    case("KMS is called with a document for the key", call[0] == 64 and call[3] == "arn:x" and call[5] == reply[3], call)
    core.kms.send(enc([96, call[1], "KMS_DENIED", "AccessDeniedException", 400, "", b"", b""]))
    case("the refusal of KMS is told with its type", core.receive() == [38, 31, "KMS_DENIED", "AccessDeniedException"])
    core.send(4, 3, b"n" * 16, "")
    case("the next try has another key", core.receive()[3] not in (reply[3], b"none"))
    core.kms.send(b"junk")
    case("a broken sign-kms does not stop it", core.status()["phase"] == "WAITING")
    core.send(6, 40, b"sealed identity")
    core.receive()
    core.send(7, 41)
    core.send(8, 41, b"sealed shares")
    core.send(9, 41)
    case("a load without sign-kms is refused", core.receive()[:3] == [38, 41, "KMS_UNAVAILABLE"])
    core.process.send_signal(signal.SIGTERM)
    code, log = core.end()
    case("SIGTERM ends it in order", code == 0 and '"phase":"STOPPED"' in log, (code, log))

    core = Core(enc(CONFIG), nsm)
    core.status()
    core.service.send(b"junk")
    code, log = core.end()
    case("a frame that is none ends it with a refusal", code == 1 and "link_broken" in log, (code, log))

    core = Core(enc(CONFIG), nsm)
    core.status()
    core.service.close()
    code, log = core.end()
    case("the end of sign-service ends it", code == 0, (code, log))

    core = Core(enc(dict(CONFIG, sessions=0)), nsm)
    code, log = core.end()
    case("a wrong configuration is refused by key", code == 1 and '"key":"sessions"' in log, (code, log))
    core = Core(enc(CONFIG), work + "/nobody.sock")
    code, log = core.end()
    case("no security module, no start", code == 1 and '"code":"NSM"' in log, (code, log))
    core = Core(enc(CONFIG), None, "sign-core")
    code, log = core.end()
    case("the release program refuses without its device", code == 1, (code, log))
    with open(work + "/shares.json", "w") as f:
        f.write("countersign-shares/1 ...")
    core = Core(enc(dict(CONFIG, keyShareFile=work + "/shares.json")), None, "sign-core")
    code, log = core.end()
    case("the release program refuses a share file before anything else", code == 1 and '"code":"KEY_SHARE_FILE"' in log
         and '"key":"keyShareFile"' in log, (code, log))
    core = Core(enc(dict(CONFIG, keyShareFile="shares.json")), nsm)
    code, log = core.end()
    case("a share file has an absolute path", code == 1 and '"key":"keyShareFile"' in log, (code, log))
    core = Core(enc(dict(CONFIG, keyShareFile=work + "/shares.json", maxBytes=1024)), nsm)
    code, log = core.end()
    case("a share file that is none ends the emulated program", code == 1 and '"source":"key_share_file"' in log, (code, log))
    with open(work + "/shares.json", "w") as f:
        f.write("countersign-shares/1 " + "." * 1024)
    core = Core(enc(dict(CONFIG, keyShareFile=work + "/shares.json", maxBytes=1024)), nsm)
    code, log = core.end()
    case("a share file above maxBytes is refused", code == 1 and '"code":"TOO_LARGE"' in log, (code, log))
sys.exit(1 if failed else 0)
