#!/usr/bin/python3
"""sign-gateway between gRPC's own Python client and a sign-service that is gRPC's own Python server: calls, streams, trailers,
deadlines, cancellation, health, a service that goes and comes; and rooms over http.client."""
import concurrent.futures
import http.client
import json
import os
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
    print("skip gateway_python (python3-grpcio is not installed)")
    sys.exit(77)

failed = False


def check(name, ok, detail=""):
    global failed
    failed = failed or not ok
    print(f"ok {name}" if ok else f"not ok {name} ({detail})", flush=True)


def varint(n):
    out = b""
    while n >= 0x80:
        out += bytes([n & 0x7f | 0x80])
        n >>= 7
    return out + bytes([n])


def sign_message(tx_id, data=b"d" * 32):
    return b"\x08" + varint(tx_id & (2**64 - 1)) + b"\x22" + varint(len(data)) + data


# ---- the service

class Service(grpc.GenericRpcHandler):
    def __init__(self):
        self.hold, self.cancelled, self.seen, self.left, self.sent = threading.Event(), threading.Event(), [], [], 0

    def sign(self, request, context):
        self.seen.append(request)
        self.left.append(context.time_remaining())
        if b"deny" in request:
            context.set_trailing_metadata((("countersign-code", "ACCOUNT_UNKNOWN"),))
            context.abort(grpc.StatusCode.NOT_FOUND, "no % such \u00fcmlaut account")
        if b"bare" in request:
            context.abort(grpc.StatusCode.DATA_LOSS, "without a code")
        if b"wait" in request:
            context.add_callback(self.cancelled.set)
            self.hold.wait(20)
        return b"\x0a\x01r" + request

    def session(self, requests, context):
        context.add_callback(self.cancelled.set)
        n = 0
        for r in requests:
            n += 1
            if r == b"flood":
                for _ in range(400):
                    self.sent += 1
                    yield b"f" * 100000
            elif r == b"stop reading":
                self.hold.wait(20)
            else:
                yield b"echo " + r
        yield b"end of %d" % n

    def watch(self, request, context):
        yield b"\x08\x01"
        while context.is_active():
            time.sleep(0.1)

    def service(self, details):
        return {
            "/mpc.Participant/SignTx": grpc.unary_unary_rpc_method_handler(self.sign),
            "/countersign.v1.Party/Session": grpc.stream_stream_rpc_method_handler(self.session),
            "/countersign.v1.Enclave/Attest": grpc.unary_unary_rpc_method_handler(lambda r, c: b"\x0a\x03doc"),
            "/countersign.v1.Enclave/Status": grpc.unary_unary_rpc_method_handler(lambda r, c: b"\x0a\x07SERVING"),
            "/grpc.health.v1.Health/Watch": grpc.unary_stream_rpc_method_handler(self.watch),
        }.get(details.method)


def serve(port):
    s = grpc.server(concurrent.futures.ThreadPoolExecutor(32), options=[("grpc.so_reuseport", 0)])
    handler = Service()
    s.add_generic_rpc_handlers((handler,))
    bound = s.add_insecure_port(f"127.0.0.1:{port}")
    s.start()
    return s, handler, bound


# ---- the gateway

class Gateway:
    def __init__(self, service_port, *extra):
        self.dir = tempfile.TemporaryDirectory()
        ports = os.path.join(self.dir.name, "ports")
        self.log = open(os.path.join(self.dir.name, "log"), "w+b")
        self.process = subprocess.Popen(
            ["sign-gateway", "--listen-grpc", "tcp:127.0.0.1:0", "--listen-http", "tcp:127.0.0.1:0", "--service",
             f"http://127.0.0.1:{service_port}", "--print-ports", ports, *extra], stdin=subprocess.DEVNULL, stderr=self.log)
        end = time.time() + 20
        while not os.path.exists(ports) and time.time() < end:
            time.sleep(0.02)
        rows = dict(line.strip().split("=") for line in open(ports))
        self.grpc = int(rows["GATEWAY_GRPC"].rsplit(":", 1)[1])
        self.http = int(rows["GATEWAY_HTTP"].rsplit(":", 1)[1])

    def channel(self):
        return grpc.insecure_channel(f"127.0.0.1:{self.grpc}")

    def request(self, method, path, body=None, headers=None):
        c = http.client.HTTPConnection("127.0.0.1", self.http, timeout=10)
        h = {"Content-Type": "application/json"} if body is not None else {}
        c.request(method, path, body, {**h, **(headers or {})})
        r = c.getresponse()
        data = r.read()
        c.close()
        return r.status, data, r

    def post(self, room, sender, body="AAAA"):
        text = json.dumps({"sender": sender, "receiver": None, "body": body})
        return self.request("POST", f"/rooms/{room}/broadcast", text)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


def until(what, seconds=10):
    end = time.time() + seconds
    while time.time() < end:
        if what():
            return True
        time.sleep(0.02)
    return False


def code(call):
    try:
        call()
        return "OK", "", {}
    except grpc.RpcError as e:
        return e.code().name, e.details(), dict(e.trailing_metadata() or ())


def serving(ch, service=b""):
    check_ = ch.unary_unary("/grpc.health.v1.Health/Check")
    request = b"\x0a" + varint(len(service)) + service if service else b""
    try:
        return check_(request, timeout=5) == b"\x08\x01"
    except grpc.RpcError as e:
        return e.code().name


# ---- cases

def unary(gw, svc, ch):
    check("health follows the service", until(lambda: serving(ch) is True))
    for name in (b"mpc.SignGateway", b"mpc.Participant", b"countersign.v1.Party"):
        check(f"health of {name.decode()}", serving(ch, name) is True)
    check("health of an unknown service", serving(ch, b"x") == "NOT_FOUND")
    watch = ch.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=30)
    check("health watch", next(watch) == b"\x08\x01")
    watch.cancel()
    for service in ("SignGateway", "Participant"):
        sign = ch.unary_unary(f"/mpc.{service}/SignTx")
        message = sign_message(7)
        check(f"{service}/SignTx", sign(message, timeout=5) == b"\x0a\x01r" + message)
    sign = ch.unary_unary("/mpc.SignGateway/SignTx")
    got = code(lambda: sign(sign_message(1, b"deny"), timeout=5))
    check("trailers are passed on", got[0] == "NOT_FOUND" and got[1] == "no % such \u00fcmlaut account"
          and got[2].get("countersign-code") == "ACCOUNT_UNKNOWN", got)
    got = code(lambda: sign(sign_message(1, b"bare"), timeout=5))
    check("a status without a code", got[0] == "DATA_LOSS" and got[1] == "without a code" and "countersign-code" not in got[2], got)
    svc.left.clear()
    sign(sign_message(1), timeout=3)
    check("the deadline is passed on", 0 < svc.left[0] <= 3.05, svc.left)
    got = code(lambda: sign(sign_message(1, b"wait"), timeout=0.3))
    check("deadline", got[0] == "DEADLINE_EXCEEDED", got)
    check("the service hears of it", svc.cancelled.wait(5))
    svc.hold.set()
    got = code(lambda: ch.unary_unary("/mpc.SignGateway/Sign")(b"", timeout=5))
    check("unknown method", got[0] == "UNIMPLEMENTED", got)
    got = code(lambda: ch.unary_unary("/mpc.SignGateway/SignTx")(b"x" * 300000, timeout=5))
    check("too large", got[0] == "RESOURCE_EXHAUSTED", got)
    check("Enclave/Status", ch.unary_unary("/countersign.v1.Enclave/Status")(b"", timeout=5) == b"\x0a\x07SERVING")
    got = code(lambda: ch.unary_unary("/countersign.v1.Enclave/Unban")(b"", timeout=5))
    check("unimplemented behind the gateway", got[0] == "UNIMPLEMENTED", got)
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda i: sign(sign_message(i), timeout=20), range(2000)))
    check("2000 calls, 64 at once", all(a == b"\x0a\x01r" + sign_message(i) for i, a in enumerate(answers)))


def streams(svc, ch):
    session = ch.stream_stream("/countersign.v1.Party/Session")
    sizes = [0, 1, 5, 2047, 2048, 100000, 200000]
    got = list(session(iter([b"x" * n for n in sizes]), timeout=20))
    check("stream", got == [b"echo " + b"x" * n for n in sizes] + [b"end of 7"], [len(g) for g in got])
    svc.cancelled.clear()
    stop = threading.Event()

    def forever():
        yield b"a"
        stop.wait(20)
    call = session(forever(), timeout=20)
    check("stream answers before half-close", next(call) == b"echo a")
    call.cancel()
    check("cancel is passed on", svc.cancelled.wait(5))
    stop.set()
    # who does not read stops the service: what is on the way is bounded by windows and queues
    svc.sent = 0
    call = session(iter([b"flood"]), timeout=60)
    next(call)
    time.sleep(1)
    stalled = svc.sent
    rest = sum(len(m) for m in call)
    check("a client that does not read stops the service", stalled < 250 and rest == 399 * 100000 + 8, (stalled, rest))
    # and the other way
    svc.hold.clear()
    given = 0

    def pour():
        nonlocal given
        yield b"stop reading"
        for _ in range(400):
            given += 1
            yield b"p" * 100000
    call = session(pour(), timeout=60)
    time.sleep(1.5)
    stalled = given
    svc.hold.set()
    got = list(call)
    check("a service that does not read stops the client", stalled < 250 and got[-1] == b"end of 401", (stalled, got[-1][:20]))


def rooms(gw, ch):
    status, body, _ = gw.post("signing_7", 0)
    check("broadcast", (status, body) == (200, b'{"id":0}'), (status, body))
    gw.post("signing_7", 1, "AAAB")
    status, body, _ = gw.request("POST", "/rooms/signing_7/issue_unique_idx", "")
    check("unique index", (status, body) == (200, b'{"unique_idx":0}'), (status, body))

    def first(n, headers=None, query=""):
        c = http.client.HTTPConnection("127.0.0.1", gw.http, timeout=10)
        c.request("GET", "/rooms/signing_7/subscribe" + query, headers=headers or {})
        r = c.getresponse()
        lines = b""
        while lines.count(b"\n\n") < n:
            lines += r.read1()
        c.close()
        return lines
    want = b'retry: 5000\n\nid: 0\nevent: new-message\ndata: {"sender":0,"receiver":null,"body":"AAAA"}\n\n' \
           b'id: 1\nevent: new-message\ndata: {"sender":1,"receiver":null,"body":"AAAB"}\n\n'
    check("history", first(3) == want)
    check("resume", first(2, {"Last-Event-ID": "0"}).endswith(b'"AAAB"}\n\n') and b"id: 0" not in first(2, {"Last-Event-ID": "0"}))
    check("not_from", b"id: 1" not in first(2, query="?not_from=1"))
    check("an id of a former life", first(3, {"Last-Event-ID": "99"}) == want)
    ch.unary_unary("/mpc.SignGateway/SignTx")(sign_message(7), timeout=5)
    status, body, _ = gw.post("signing_7", 0)
    check("a room whose call ended well is forgotten", body == b'{"id":0}', body)
    ch.unary_unary("/mpc.SignGateway/SignTx")(sign_message(-5), timeout=5)
    code(lambda: ch.unary_unary("/mpc.SignGateway/SignTx")(sign_message(7, b"deny"), timeout=5))
    status, body, _ = gw.post("signing_7", 0)
    check("a room whose call failed stays", body == b'{"id":1}', body)
    status, body, _ = gw.request("POST", "/v1/attest", '{"nonce":"AAAAAAAAAAAAAAAAAAAAAA==","account_id":"a"}')
    check("attest", (status, body) == (200, b'{"document":"ZG9j"}'), (status, body))
    status, body, _ = gw.request("GET", "/health")
    check("health over HTTP", (status, body) == (200, b'{"status":"SERVING"}'), (status, body))


def cors(port):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
        f.write("server: {cors_origins: ['https://a.example', 'http://b.example:3000']}\n")
        f.flush()
        gw = Gateway(port, f.name)
        for origin, allowed in (("https://a.example", True), ("http://b.example:3000", True), ("https://a.example.evil", False),
                                ("https://A.example", False), ("http://a.example", False), ("null", False)):
            status, _, r = gw.request("POST", "/rooms/c/issue_unique_idx", headers={"Origin": origin})
            got = r.getheader("Access-Control-Allow-Origin")
            check(f"cors {origin}", status == 200 and got == (origin if allowed else None) and r.getheader("Vary") == "Origin", (status, got))
        preflight = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "last-event-id"}
        status, body, r = gw.request("OPTIONS", "/rooms/c/subscribe", headers=preflight)
        check("preflight", status == 204 and body == b"" and "Last-Event-ID" in r.getheader("Access-Control-Allow-Headers", "")
              and "GET" in r.getheader("Access-Control-Allow-Methods", ""), (status, r.getheaders()))
        status, body, r = gw.request("OPTIONS", "/rooms/c/subscribe", headers={**preflight, "Origin": "https://evil"})
        check("preflight of another origin", status == 204 and r.getheader("Access-Control-Allow-Methods") is None, (status, r.getheaders()))
        status, body, r = gw.request("HEAD", "/rooms/c/subscribe")
        check("HEAD of a stream", (status, body) == (200, b"") and r.getheader("Content-Type") == "text/event-stream"
              and r.getheader("Cache-Control") == "no-store" and r.getheader("X-Accel-Buffering") == "no", (status, r.getheaders()))
        status, body, r = gw.request("DELETE", "/rooms/c/broadcast")
        check("405 tells what is allowed", status == 405 and r.getheader("Allow") == "POST, OPTIONS", (status, r.getheaders()))
        check("a gateway with a file ends with 0", gw.end() == 0)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
        f.write("server:\n  prot: 1\n")
        f.flush()
        p = subprocess.run(["sign-gateway", f.name], capture_output=True, text=True, timeout=20, check=False)
        check("an unknown key is named with the nearest", p.returncode == 1 and "CONFIG_KEY" in p.stderr and "server.port" in p.stderr
              and ":2:" in p.stderr, p.stderr)


def limits(port, handler):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
        f.write("limits: {calls: 4}\n")
        f.flush()
        gw = Gateway(port, f.name)
        ch = gw.channel()
        sign = ch.unary_unary("/mpc.SignGateway/SignTx")
        handler.hold.clear()
        held = [sign.future(sign_message(500 + i, b"wait"), timeout=20) for i in range(4)]
        until(lambda: all(sign_message(500 + i, b"wait") in handler.seen for i in range(4)))
        got = code(lambda: sign(sign_message(1), timeout=5))
        check("calls above the limit", got[0] == "RESOURCE_EXHAUSTED" and got[2].get("countersign-code") == "SESSION_LIMIT", got)
        handler.hold.set()
        check("those under way end well", all(h.result() for h in held))
        check("and the next is taken", until(lambda: code(lambda: sign(sign_message(1), timeout=5))[0] == "OK"))
        ch.close()
        gw.end()
    gw = Gateway(port)
    ch = gw.channel()
    until(lambda: serving(ch) is True)
    watches = [ch.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=60) for _ in range(256)]
    for w in watches:
        next(w)
    got = code(lambda: next(ch.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=10)))
    check("watches above the limit", got[0] == "RESOURCE_EXHAUSTED", got)
    watches[0].cancel()
    check("a watch that ends makes room", until(lambda: code(lambda: next(ch.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=10)))[0] == "OK"))
    ch.close()
    gw.end()


def comes_and_goes(gw, server, handler, port, ch):
    sign = ch.unary_unary("/mpc.SignGateway/SignTx")
    got = []
    handler.hold.clear()
    t = threading.Thread(target=lambda: got.append(code(lambda: sign(sign_message(99, b"wait"), timeout=20))))
    t.start()
    until(lambda: sign_message(99, b"wait") in handler.seen)
    server.stop(0)
    t.join(20)
    handler.hold.set()
    check("a call whose service goes", bool(got) and got[0][0] in ("UNAVAILABLE", "CANCELLED"), got)
    check("health: not serving", until(lambda: serving(ch) is False), serving(ch))
    start = time.time()
    result = code(lambda: sign(sign_message(1), timeout=20))
    check("no service: UPSTREAM soon", result[0] == "UNAVAILABLE" and result[2].get("countersign-code") == "UPSTREAM"
          and time.time() - start < 4, (result, time.time() - start))
    status, body, _ = gw.request("GET", "/health")
    check("health over HTTP: 503", (status, body) == (503, b'{"status":"NOT_SERVING"}'), (status, body))
    status, body, _ = gw.request("POST", "/v1/attest", '{"nonce":"AAAAAAAAAAAAAAAAAAAAAA=="}')
    check("attest without a service", status == 503 and json.loads(body)["code"] == "UPSTREAM", (status, body))
    again, handler, _ = serve(port)
    check("the service is back", until(lambda: serving(ch) is True, 15))
    check("and signs", sign(sign_message(3), timeout=5).startswith(b"\x0a\x01r"))
    return again, handler


def drain(gw, handler, ch):
    sign = ch.unary_unary("/mpc.SignGateway/SignTx")
    c = http.client.HTTPConnection("127.0.0.1", gw.http, timeout=10)
    c.request("GET", "/rooms/d/subscribe")
    stream = c.getresponse()
    handler.hold.clear()
    got = []
    t = threading.Thread(target=lambda: got.append(code(lambda: sign(sign_message(1, b"wait"), timeout=20))))
    t.start()
    check("the call is under way", until(lambda: any(b"wait" in s for s in handler.seen)))
    watch = ch.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=30)
    first = next(watch)
    start = time.time()
    gw.process.send_signal(signal.SIGTERM)
    rest = []
    end = code(lambda: rest.extend(watch))
    check("who watches hears of the end", (first, rest, end[0]) == (b"\x08\x01", [b"\x08\x02"], "UNAVAILABLE"), (first, rest, end))
    status, body, _ = gw.request("GET", "/health")
    check("health over HTTP while it drains", status == 503, (status, body))
    status, body, _ = gw.post("d", 1)
    check("rooms work while it drains", (status, body) == (200, b'{"id":0}'), (status, body))
    handler.hold.set()
    t.join(20)
    check("the call under way ends well", bool(got) and got[0][0] == "OK", got)
    try:
        text = stream.read()
    except http.client.HTTPException as e:
        text = repr(e)
    check("the stream is ended in order", text.endswith(b'"AAAA"}\n\n') if isinstance(text, bytes) else False, text)
    check("exit status 0", gw.process.wait(20) == 0, gw.process.returncode)
    check("before patience ends", time.time() - start < 8, time.time() - start)


def main():
    server, handler, port = serve(0)
    gw = Gateway(port)
    ch = gw.channel()
    try:
        unary(gw, handler, ch)
        streams(handler, ch)
        rooms(gw, ch)
        cors(port)
        limits(port, handler)
        server, handler = comes_and_goes(gw, server, handler, port, ch)
        drain(gw, handler, ch)
    finally:
        server.stop(0)
        if gw.process.poll() is None:
            gw.process.kill()
        gw.log.seek(0)
        sys.stderr.write(gw.log.read().decode()[-4000:])
    sys.exit(1 if failed else 0)


main()
