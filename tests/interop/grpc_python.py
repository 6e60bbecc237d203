#!/usr/bin/python3
"""sign-service-local as a process: gRPC's own Python client on one side, on the other a sign-core that is this script (frames of
docs/formats/core-rpc.md). Also raw bytes that no client would send, and the two injectors."""
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

try:
    import grpc
except ImportError:
    print("skip grpc_python (python3-grpcio is not installed)")
    sys.exit(77)

failed = False


def check(name, ok, detail=""):
    global failed
    failed = failed or not ok
    print(f"ok {name}" if ok else f"not ok {name} ({detail})", flush=True)


# ---- CBOR and protobuf, as little as is needed

def head(major, n):
    if n < 24:
        return bytes([major << 5 | n])
    for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if n < 1 << (8 * size):
            return bytes([major << 5 | code]) + n.to_bytes(size, "big")
    raise ValueError(n)


def enc(v):
    if isinstance(v, int):
        return head(0, v)
    if isinstance(v, bytes):
        return head(2, len(v)) + v
    if isinstance(v, str):
        return head(3, len(v.encode())) + v.encode()
    if isinstance(v, list):
        return head(4, len(v)) + b"".join(map(enc, v))
    rows = sorted((enc(k), enc(x)) for k, x in v.items())
    return head(5, len(rows)) + b"".join(k + x for k, x in rows)


def dec(b, at=0):
    major, n = b[at] >> 5, b[at] & 31
    at += 1
    if n >= 24:
        size = 1 << (n - 24)
        n = int.from_bytes(b[at:at + size], "big")
        at += size
    if major == 0:
        return n, at
    if major in (2, 3):
        raw = bytes(b[at:at + n])
        return (raw if major == 2 else raw.decode()), at + n
    out = []
    for _ in range(n):
        v, at = dec(b, at)
        out.append(v)
    return out, at


def varint(n):
    out = b""
    while n >= 0x80:
        out += bytes([n & 0x7f | 0x80])
        n >>= 7
    return out + bytes([n])


def field(number, value):
    return varint(number << 3 | 2) + varint(len(value)) + value


def fields(message):
    out, at = {}, 0

    def number():
        nonlocal at
        v = shift = 0
        while True:
            b = message[at]
            at += 1
            v |= (b & 0x7f) << shift
            shift += 7
            if b < 0x80:
                return v
    while at < len(message):
        tag = number()
        if tag & 7 == 0:
            out[tag >> 3] = number()
        else:
            n = number()
            out[tag >> 3] = message[at:at + n]
            at += n
    return out


def frame(body):
    return field(1, body)


# ---- sign-core

OPEN, DATA, CLOSE, ATTEST, STATUS, AGE, BEGIN, CHUNK, END, CANCEL, UNBAN = range(1, 12)
TEE_CALL = 16
SEND, PARTY_END, ATTEST_REPLY, STATUS_REPLY, REPLY, TEE_REPLY = 33, 34, 36, 37, 38, 40


class Core(threading.Thread):
    def __init__(self, sock):
        super().__init__(daemon=True)
        self.sock, self.phase, self.seen, self.shares, self.silent = sock, "WAITING", [], b"", False
        self.held = []

    def send(self, *frame_):
        self.sock.sendall(enc(list(frame_)))

    def status(self):
        return json.dumps({"phase": self.phase, "version": "0", "generation": 7, "accounts": 3, "bans": 1, "debug": False,
                           "emulated": True, "memory": {"locked": True}}).encode()

    def tee(self, ident, sealed, call, attached):
        """Echoes, those that say so four at a time and the last one first; `never` is not answered."""
        if call == b"never":
            return
        self.held.append((ident, bytes([sealed]) + call + attached))
        if not call.startswith(b"hold") or len(self.held) == 4:
            for number, reply in reversed(self.held):
                self.send(TEE_REPLY, number, reply)
            self.held.clear()

    def run(self):
        while True:
            packet = self.sock.recv(1 << 18)
            if not packet:
                return
            kind, ident, *f = dec(packet)[0]
            if kind not in (DATA, CHUNK):
                self.seen.append((kind, ident))
            if kind == DATA and f[0].startswith(b"end:"):
                self.send(PARTY_END, ident, f[0][4:].decode())
            elif kind == DATA:
                self.send(SEND, ident, f[0])
            elif kind == ATTEST and not self.silent:
                self.send(ATTEST_REPLY, ident, "OK" if f[1] != "nobody" else "ACCOUNT_UNKNOWN", f[0] + f[1].encode())
            elif kind == STATUS:
                self.send(STATUS_REPLY, ident, self.status())
            elif kind == UNBAN:
                self.send(REPLY, ident, "OK" if f[0] == b"good" else "UNBAN", "")
            elif kind == TEE_CALL:
                self.tee(ident, *f)
            elif kind == AGE:
                self.send(REPLY, ident, "KMS_DENIED", "AccessDeniedException")
            elif kind == BEGIN:
                self.shares = b""
            elif kind == CHUNK:
                self.shares += f[0]
            elif kind == END:
                self.send(REPLY, ident, "OK", "")


class Service:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="csg")
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for s in (near, far):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        config = os.memfd_create("config")
        os.write(config, enc({"level": "info", "maxBytes": 1 << 20, "sessions": 64, "parentCid": 3, "gatewayUrl": "", "serverIndex": 1, "egressPort": 8080, "silenceMs": 10000}))
        listen = [socket.socket(), self.unix("age"), self.unix("shares")]
        listen[0].bind(("127.0.0.1", 0))
        for s in listen:
            s.listen(64)
        self.port = listen[0].getsockname()[1]
        fds = [config, far.fileno()] + [s.fileno() for s in listen]
        names = ["config-fd", "link-core", "listen-grpc", "listen-age", "listen-shares"]
        args = [x for n, fd in zip(names, fds) for x in (f"--{n}", str(fd))]
        self.log = open(f"{self.dir}/log", "w+")
        self.process = subprocess.Popen(["sign-service-local"] + args, pass_fds=fds, stderr=self.log)
        far.close()
        os.close(config)
        self.core = Core(near)
        self.core.start()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.port}", options=[("grpc.max_send_message_length", -1)])

    def unix(self, name):
        s = socket.socket(socket.AF_UNIX)
        s.bind(f"{self.dir}/{name}")
        return s

    def call(self, path, request, timeout=10, **kw):
        return self.channel.unary_unary(path)(request, timeout=timeout, **kw)

    def refusal(self, path, request, timeout=10, **kw):
        try:
            self.call(path, request, timeout, **kw)
        except grpc.RpcError as e:
            return e.code().name, dict(e.trailing_metadata()).get("countersign-code"), e.details()
        return "OK", None, ""

    def inject(self, name, data, shut=True):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(10)
        s.connect(f"{self.dir}/{name}")
        try:
            s.sendall(data)
            if shut:
                s.shutdown(socket.SHUT_WR)
            answer = b""
            while not answer.endswith(b"\n"):
                more = s.recv(4096)
                if not more:
                    break
                answer += more
        except OSError as e:
            return {"code": repr(e)}
        finally:
            s.close()
        return json.loads(answer) if answer else {"code": "no answer"}


ATTEST_PATH, STATUS_PATH = "/countersign.v1.Enclave/Attest", "/countersign.v1.Enclave/Status"
UNBAN_PATH, HEALTH = "/countersign.v1.Enclave/Unban", "/grpc.health.v1.Health/"
SESSION = "/countersign.v1.Party/Session"


def wait_for(condition, seconds=5):
    end = time.monotonic() + seconds
    while time.monotonic() < end and not condition():
        time.sleep(0.005)
    return condition()


def health(s):
    check("health_not_serving_while_waiting", fields(s.call(HEALTH + "Check", b"")).get(1) == 2)
    watch = s.channel.unary_stream(HEALTH + "Watch")(b"", timeout=20)
    first = fields(next(watch)).get(1)
    s.core.phase = "SERVING"
    check("watch_tells_the_change", first == 2 and fields(next(watch)).get(1) == 1)
    watch.cancel()
    check("health_serving", fields(s.call(HEALTH + "Check", field(1, b"countersign.v1.Party"))).get(1) == 1)
    check("health_unknown_service", s.refusal(HEALTH + "Check", field(1, b"x"))[0] == "NOT_FOUND")


def enclave(s):
    nonce = os.urandom(32)
    check("attest", fields(s.call(ATTEST_PATH, field(1, nonce) + field(2, b"a")))[1] == nonce + b"a")
    got = s.refusal(ATTEST_PATH, field(1, b"short"))
    check("attest_short_nonce", got[:2] == ("OUT_OF_RANGE", "RANGE"), got)
    got = s.refusal(ATTEST_PATH, field(1, nonce) + field(2, b"nobody"))
    check("refusal_of_core", got[:2] == ("NOT_FOUND", "ACCOUNT_UNKNOWN") and got[2].startswith("ACCOUNT_UNKNOWN: "), got)
    status = fields(s.call(STATUS_PATH, b""))
    check("status", (status[1], status[2], status[3], status[7]) == (b"SERVING", 7, 3, 1) and status[9] == s.core.status(), status)
    s.call(UNBAN_PATH, field(1, b"good"))
    check("unban_refused", s.refusal(UNBAN_PATH, field(1, b"bad"))[:2] == ("PERMISSION_DENIED", "UNBAN"))
    check("malformed_protobuf", s.refusal(ATTEST_PATH, b"\x0a\xff")[0] == "INTERNAL")
    check("unknown_method", s.refusal("/countersign.v1.Enclave/Nothing", b"")[0] == "UNIMPLEMENTED")
    got = s.refusal(ATTEST_PATH, field(1, bytes(2000000)))
    check("over_cap_2_mb", got[0] == "RESOURCE_EXHAUSTED", got)
    got = s.refusal(ATTEST_PATH, field(1, bytes(500)), compression=grpc.Compression.Gzip)
    check("compressed_is_unimplemented", got[0] == "UNIMPLEMENTED", got)
    s.core.silent = True
    check("deadline", s.refusal(ATTEST_PATH, field(1, nonce), timeout=0.2)[0] == "DEADLINE_EXCEEDED")
    s.core.silent = False


def tee(s):
    path = "/countersign.v1.TeeCore/Call"
    reply = fields(s.call(path, field(1, b"call") + varint(2 << 3) + b"\1" + field(3, b"rows")))[1]
    check("tee_call", reply == b"\1callrows", reply)
    check("tee_call_in_clear", fields(s.call(path, field(1, b"call")))[1] == b"\0call")
    call = s.channel.unary_unary(path)
    futures = [call.future(field(1, b"hold%d" % i), timeout=20) for i in range(400)]
    good = sum(fields(f.result())[1] == b"\0hold%d" % i for i, f in enumerate(futures))
    check("tee_answers_in_another_order", good == 400, good)
    got = s.refusal(path, field(1, b"never"), timeout=0.5)
    check("tee_deadline", got[0] == "DEADLINE_EXCEEDED", got)
    got = s.refusal(path, field(1, bytes(262100)))
    check("tee_too_large_for_a_frame", got[1] == "TOO_LARGE", got)
    check("tee_malformed", s.refusal(path, b"\x0a\xff")[:2] == ("INTERNAL", "FORMAT"))
    gone = call.future(field(1, b"never"), timeout=20)
    time.sleep(0.2)
    gone.cancel()
    check("tee_well_after_a_cancel", fields(s.call(path, field(1, b"again")))[1] == b"\0again")


def concurrent(s):
    call = s.channel.unary_unary(ATTEST_PATH)
    nonces = [hashlib.sha256(bytes([i & 255, i >> 8])).digest() for i in range(5000)]
    futures = [call.future(field(1, n), timeout=60) for n in nonces]
    good = sum(fields(f.result())[1] == n for f, n in zip(futures, nonces))
    check("concurrent_5000", good == 5000, good)


def session(s):
    bodies = [b"x", bytes(43000), os.urandom(200000), b""]
    stream = s.channel.stream_stream(SESSION)
    got = [fields(m).get(1, b"") for m, _ in zip(stream(iter([frame(b) for b in bodies] + [frame(b"end:OK")]), timeout=20), bodies)]
    check("session_echo", got == bodies, [len(b) for b in got])
    try:
        list(stream(iter([frame(b"end:ABORT_SESSION")]), timeout=10))
        check("session_end_code", False, "no error")
    except grpc.RpcError as e:
        trailers = dict(e.trailing_metadata())
        check("session_end_code", e.code().name == "ABORTED" and trailers.get("countersign-code") == "ABORT_SESSION", e)

    def hold():
        yield frame(b"hello")
        time.sleep(5)
    held = stream(hold(), timeout=20)
    next(held)
    opened = max(i for k, i in s.core.seen if k == OPEN)
    held.cancel()
    check("cancel_reaches_core", wait_for(lambda: (CLOSE, opened) in s.core.seen))
    # limits.sessions is core's to enforce; the front lets 64 more through, for those that are on their way, and no more
    held = [stream(hold(), timeout=20) for _ in range(64 + 64)]
    for h in held:
        next(h)
    try:
        next(stream(hold(), timeout=10))
        check("session_limit", False, "no error")
    except grpc.RpcError as e:
        check("session_limit", e.code().name == "RESOURCE_EXHAUSTED", e)
    for h in held:
        h.cancel()
    try:
        list(stream(iter([b"\x0a\x7f"]), timeout=10))
        check("session_malformed_frame", False, "no error")
    except grpc.RpcError as e:
        check("session_malformed_frame", e.code().name == "INTERNAL", e)


def h2_frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def raw(s):
    def dropped(data, seconds=10):
        c = socket.create_connection(("127.0.0.1", s.port))
        c.settimeout(seconds)
        try:
            c.sendall(data)
            while c.recv(65536):
                pass
            return True
        except TimeoutError:
            return False
        except OSError:
            return True
        finally:
            c.close()
    magic = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + h2_frame(4, 0, 0, b"")
    check("http1_is_dropped", dropped(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
    # :method POST, :scheme http, :path by a literal
    block = b"\x83\x86\x04\x02/x\x41\x01x"
    resets = b"".join(h2_frame(1, 4, n, block) + h2_frame(3, 0, n, b"\0\0\0\x08") for n in range(1, 40000, 2))
    check("rapid_reset_is_dropped", dropped(magic + resets))
    many = h2_frame(1, 0, 1, block) + b"".join(h2_frame(9, 0, 1, b"\0\1a\1b" * 20) for _ in range(4000))
    check("continuation_flood_is_dropped", dropped(magic + many))
    check("ping_frame_of_wrong_size_is_dropped", dropped(magic + h2_frame(6, 0, 0, b"1234")))

    def http_status(request_block):
        c = socket.create_connection(("127.0.0.1", s.port))
        c.settimeout(10)
        c.sendall(magic + h2_frame(1, 4, 1, request_block) + h2_frame(0, 1, 1, b"x"))
        data = b""
        while True:
            while len(data) < 9 or len(data) < 9 + int.from_bytes(data[:3], "big"):
                data += c.recv(65536)
            n = 9 + int.from_bytes(data[:3], "big")
            kind, payload, data = data[3], data[9:n], data[n:]
            if kind == 1:
                c.close()
                return payload
    check("wrong_content_type_is_415", http_status(block).startswith(b"H\x03415"))
    check("get_is_405", http_status(b"\x82" + block[1:]).startswith(b"H\x03405"))
    check("still_serving", fields(s.call(HEALTH + "Check", b"")).get(1) == 1)


def inject(s):
    got = s.inject("age", b"ciphertext")
    check("inject_age_answer_of_core", (got.get("code"), got.get("detail")) == ("KMS_DENIED", "AccessDeniedException") and
          {"cause", "fix"} <= set(got), got)
    check("inject_empty", s.inject("age", b"")["code"] == "INJECT_EMPTY")
    check("inject_age_too_large", s.inject("age", bytes(65537), shut=False)["code"] == "TOO_LARGE")
    data = os.urandom(700001)
    got = s.inject("shares", data)
    check("inject_shares", got["code"] == "OK" and s.core.shares == data, got)
    check("inject_shares_too_large", s.inject("shares", bytes((1 << 20) + 1), shut=False)["code"] == "TOO_LARGE")
    first = socket.socket(socket.AF_UNIX)
    first.connect(f"{s.dir}/shares")
    first.sendall(bytes(300000))
    check("inject_busy", s.inject("shares", b"")["code"] == "INJECT_BUSY")
    before = sum(k == CANCEL for k, _ in s.core.seen)
    first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    first.close()  # a unix socket has no reset: this is an end of file, and the load is core's to refuse
    check("injector_gone_frees_the_port", wait_for(lambda: s.inject("shares", b"x")["code"] == "OK"), before)


def ends(s):
    s.process.send_signal(signal.SIGTERM)
    check("sigterm_exits_0", s.process.wait(10) == 0)
    t = Service()
    t.call(STATUS_PATH, b"", wait_for_ready=True)
    t.core.sock.shutdown(socket.SHUT_RDWR)
    check("core_gone_exits_1", t.process.wait(10) == 1)
    t.channel.close()
    lines = [json.loads(x) for x in open(f"{s.dir}/log")]
    check("log_is_json_lines", len(lines) > 0 and all("event" in x for x in lines))
    shutil.rmtree(t.dir)


def main():
    s = Service()
    try:
        for part in (health, enclave, tee, concurrent, session, raw, inject, ends):
            part(s)
    except Exception as e:  # a broken part is a failed test, with its reason
        check("run", False, repr(e))
    finally:
        s.channel.close()
        if s.process.poll() is None:
            s.process.kill()
            print("service log:", open(f"{s.dir}/log").read()[-2000:], file=sys.stderr)
        shutil.rmtree(s.dir)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
