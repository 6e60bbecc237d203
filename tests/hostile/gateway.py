#!/usr/bin/python3
"""Hostile peers of sign-gateway (HTTP and gRPC) and of sign-service (gRPC), with raw bytes: each attack is refused or survived,
memory stays bounded, and a good request works afterwards. The service is sign-service-local with a sign-core that is a script
(tests/interop/grpc_python.py)."""
# limit: 200
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "interop"))
try:
    import grpc
    import grpc_python
except ImportError:
    print("skip gateway (python3-grpcio is not installed)")
    sys.exit(77)

failed = False
MIB = 1 << 20


def check(name, ok, detail=""):
    global failed
    failed = failed or not ok
    print(f"ok {name}" if ok else f"not ok {name} ({str(detail)[:400]})", flush=True)


def sanitized(program):
    for d in os.environ["PATH"].split(":"):
        if os.path.exists(f"{d}/{program}"):
            return b"__asan_init" in open(f"{d}/{program}", "rb").read()
    return False


SANITIZED = sanitized("sign-gateway")


class Gateway:
    def __init__(self, service, config=""):
        self.dir = tempfile.TemporaryDirectory()
        ports = os.path.join(self.dir.name, "ports")
        path = os.path.join(self.dir.name, "config.yaml")
        with open(path, "w") as f:
            f.write(config or "logging: {level: info}\n")
        self.log = open(os.path.join(self.dir.name, "log"), "w+b")
        env = dict(os.environ)
        if SANITIZED:  # so that memory says something
            env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=8"
        self.process = subprocess.Popen(
            ["sign-gateway", "--listen-grpc", "tcp:127.0.0.1:0", "--listen-http", "tcp:127.0.0.1:0", "--service",
             f"http://127.0.0.1:{service}", "--print-ports", ports, path],
            stdin=subprocess.DEVNULL, stderr=self.log, env=env)
        end = time.time() + 30
        while not os.path.exists(ports) and time.time() < end:
            time.sleep(0.02)
        rows = dict(line.strip().split("=") for line in open(ports))
        self.grpc = int(rows["GATEWAY_GRPC"].rsplit(":", 1)[1])
        self.http = int(rows["GATEWAY_HTTP"].rsplit(":", 1)[1])

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return "killed"


def rss(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    return 0


def bounded(mib):
    """Sanitizers: red zones and quarantine."""
    return (mib * 3 + 150 if SANITIZED else mib) * MIB


# ---- HTTP by hand

def connect(port, timeout=10):
    c = socket.create_connection(("127.0.0.1", port), timeout=timeout)
    c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return c


def read_all(c, seconds=5):
    """Everything until the peer closes; None behind it when it does not."""
    data, end = b"", time.time() + seconds
    while True:
        c.settimeout(max(0.01, end - time.time()))
        try:
            more = c.recv(65536)
        except TimeoutError:
            return data, False
        except OSError:
            return data, True
        if not more:
            return data, True
        data += more


def talk(port, data, seconds=5):
    c = connect(port)
    try:
        c.sendall(data)
        return read_all(c, seconds)
    except OSError:
        return b"", True
    finally:
        c.close()


def statuses(data):
    return [int(m) for m in re.findall(rb"HTTP/1\.1 (\d{3}) ", data)]


def message(sender=0, body="AAAA"):
    return b'{"sender":%d,"receiver":null,"body":"%s"}' % (sender, body.encode())


def post(room, body, extra=b""):
    return b"POST /rooms/%s/broadcast HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s" % (
        room.encode(), extra, len(body), body)


def subscribe(room, extra=b"", query=b""):
    return b"GET /rooms/%s/subscribe%s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (room.encode(), query, extra)


class Http:
    """A kept connection that reads answers with Content-Length."""

    def __init__(self, port):
        self.c, self.buf = connect(port, 30), b""

    def read(self):
        while b"\r\n\r\n" not in self.buf:
            self.more()
        head, _, rest = self.buf.partition(b"\r\n\r\n")
        n = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
        self.buf = rest
        while len(self.buf) < n:
            self.more()
        body, self.buf = self.buf[:n], self.buf[n:]
        return int(head.split()[1]), body

    def more(self):
        data = self.c.recv(1 << 20)
        if not data:
            raise ConnectionError("closed")
        self.buf += data

    def ask(self, data):
        self.c.sendall(data)
        return self.read()


rooms_used = 0


def good(gw):
    """A good request: a message to a new room comes back on its stream."""
    global rooms_used
    rooms_used += 1
    room = f"good_{rooms_used}"
    h = Http(gw.http)
    posted = h.ask(post(room, message(1, "Z29vZA")))
    h.c.close()
    c = connect(gw.http)
    c.sendall(subscribe(room))
    data = b""
    while b"Z29vZA" not in data:
        data += c.recv(4096) or b"Z29vZA closed"
    c.close()
    return posted == (200, b'{"id":0}') and b"closed" not in data


# ---- attacks on HTTP

G = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


def smuggling_forms():
    def p(headers, body=b""):
        return b"POST /rooms/s/broadcast HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + headers + b"\r\n" + body
    chunked = b"Transfer-Encoding: chunked\r\n"
    m = message()
    one_chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(m), m)
    return {
        "cl_te": p(b"Content-Length: 4\r\n" + chunked, one_chunk),
        "te_cl": p(chunked + b"Content-Length: 4\r\n", one_chunk),
        "two_cl": p(b"Content-Length: 0\r\nContent-Length: %d\r\n" % len(SMUGGLED)),
        "two_equal_cl": p(b"Content-Length: 0\r\nContent-Length: 0\r\n"),
        "cl_list": p(b"Content-Length: 0, 0\r\n"),
        "cl_plus": p(b"Content-Length: +0\r\n"),
        "cl_minus": p(b"Content-Length: -1\r\n"),
        "cl_hex": p(b"Content-Length: 0x0\r\n"),
        "cl_empty": p(b"Content-Length: \r\n"),
        "cl_words": p(b"Content-Length: 0 0\r\n"),
        "cl_overflow": p(b"Content-Length: 18446744073709551616\r\n"),
        "cl_space_before_colon": p(b"Content-Length : 0\r\n"),
        "te_space_before_colon": p(b"Transfer-Encoding : chunked\r\n", one_chunk),
        "te_xchunked": p(b"Transfer-Encoding: xchunked\r\n", one_chunk),
        "te_identity": p(b"Transfer-Encoding: identity\r\n"),
        "te_gzip_chunked": p(b"Transfer-Encoding: gzip, chunked\r\n", one_chunk),
        "te_chunked_identity": p(b"Transfer-Encoding: chunked, identity\r\n", one_chunk),
        "te_twice": p(chunked + chunked, one_chunk),
        "te_vertical_tab": p(b"Transfer-Encoding: \x0bchunked\r\n", one_chunk),
        "te_quoted": p(b'Transfer-Encoding: "chunked"\r\n', one_chunk),
        "te_folded": p(b"Transfer-Encoding:\r\n chunked\r\n", one_chunk),
        "obs_fold": p(b"X-A: a\r\n b: c\r\nContent-Length: 0\r\n"),
        "bare_cr_in_value": p(b"X-A: a\rContent-Length: 0\r\n"),
        "bare_lf_line": p(b"X-A: a\nContent-Length: 0\r\n"),
        "bare_lf_end": b"GET /health HTTP/1.1\r\nHost: x\n\n",
        "nul_in_value": p(b"X-A: a\0b\r\nContent-Length: 0\r\n"),
        "nul_in_name": p(b"X\0A: a\r\nContent-Length: 0\r\n"),
        "name_empty": p(b": a\r\nContent-Length: 0\r\n"),
        "name_without_colon": p(b"Content-Length 0\r\n"),
        "first_line_is_folded": b"GET /health HTTP/1.1\r\n X: y\r\nHost: x\r\n\r\n",
        "chunk_extension": p(chunked, b"%x;a=b\r\n%s\r\n0\r\n\r\n" % (len(m), m)),
        "chunk_extension_empty": p(chunked, b"%x;\r\n%s\r\n0\r\n\r\n" % (len(m), m)),
        "chunk_extension_with_cr": p(chunked, b"%x;a\rb\r\n%s\r\n0\r\n\r\n" % (len(m), m)),
        "chunk_extension_with_lf": p(chunked, b"%x;a\n%s\r\n0\r\n\r\n" % (len(m), m)),
        "chunk_size_hex_prefix": p(chunked, b"0x%x\r\n%s\r\n0\r\n\r\n" % (len(m), m)),
        "chunk_size_plus": p(chunked, b"+%x\r\n%s\r\n0\r\n\r\n" % (len(m), m)),
        "chunk_size_minus": p(chunked, b"-1\r\n%s\r\n0\r\n\r\n" % m),
        "chunk_size_space_before": p(chunked, b" %x\r\n%s\r\n0\r\n\r\n" % (len(m), m)),
        "chunk_size_space_behind": p(chunked, b"%x \r\n%s\r\n0\r\n\r\n" % (len(m), m)),
        "chunk_size_overflow": p(chunked, b"10000000000000001\r\n%s\r\n0\r\n\r\n" % m),
        "chunk_size_empty": p(chunked, b"\r\n%s\r\n0\r\n\r\n" % m),
        "chunk_line_bare_lf": p(chunked, b"%x\n%s\r\n0\r\n\r\n" % (len(m), m)),
        "chunk_line_bare_cr": p(chunked, b"%x\r%s\r\n0\r\n\r\n" % (len(m), m)),
        "chunk_data_longer_than_said": p(chunked, b"1\r\n%s\r\n0\r\n\r\n" % m),
        "chunk_data_ends_in_lf": p(chunked, b"%x\r\n%s\n0\r\n\r\n" % (len(m), m)),
        "chunk_end_bare_lf": p(chunked, b"%x\r\n%s\r\n0\n\n" % (len(m), m)),
        "chunk_trailers": p(chunked, b"%x\r\n%s\r\n0\r\nContent-Length: 5\r\n\r\n" % (len(m), m)),
        "absolute_form": b"GET http://x/health HTTP/1.1\r\nHost: x\r\n\r\n",
        "authority_form": b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
        "asterisk_form": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        "two_hosts": b"GET /health HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        "no_host": b"GET /health HTTP/1.1\r\n\r\n",
        "version_2": b"GET /health HTTP/2.0\r\nHost: x\r\n\r\n",
        "version_1_2": b"GET /health HTTP/1.2\r\nHost: x\r\n\r\n",
        "version_without_dot": b"GET /health HTTP/11\r\nHost: x\r\n\r\n",
        "version_lower_case": b"GET /health http/1.1\r\nHost: x\r\n\r\n",
        "http_0_9": b"GET /health\r\n",
        "http2_preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "upgrade_h2c": b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n",
        "target_with_space": b"GET /hea lth HTTP/1.1\r\nHost: x\r\n\r\n",
        "target_with_nul": b"GET /health\0 HTTP/1.1\r\nHost: x\r\n\r\n",
        "method_lower_case": b"get /health HTTP/1.1\r\nHost: x\r\n\r\n",
        "method_with_space_before": b" GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
        "tls_hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    }


def smuggling(gw):
    for name, data in smuggling_forms().items():
        answer, closed = talk(gw.http, data + SMUGGLED)
        got = statuses(answer)
        check(f"http_{name}_is_refused", got == [400] and closed and b"Connection: close" in answer, (got, closed, answer[:200]))
    answer, closed = talk(gw.http, post("s", message()).replace(b"Content-Length", b"Transfer-Encoding: chunked\r\nX-Length")[:-44] + b"2c\r\n")
    check("http_truncated_body_is_not_answered", statuses(answer) == [] or statuses(answer) == [400], answer[:100])
    check("http_after_smuggling", good(gw))


def sizes(gw):
    big = b"POST /rooms/s/broadcast HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10000000000\r\n\r\n"
    answer, closed = talk(gw.http, big)
    check("http_body_of_10_gb_is_413_at_once", statuses(answer) == [413] and closed, answer[:100])
    body = b"".join(b"10000\r\n" + b"A" * 65536 + b"\r\n" for _ in range(8))
    answer, closed = talk(gw.http, big.replace(b"Content-Length: 10000000000", b"Transfer-Encoding: chunked") + body)
    check("http_chunked_body_over_the_limit_is_413", statuses(answer) == [413] and closed, answer[:100])
    answer, _ = talk(gw.http, post("s", message(0, "A" * 174764)) + G, 1)
    check("http_message_over_128_kib_is_413", statuses(answer) == [413, 503] or statuses(answer) == [413, 200], answer[:100])
    answer, closed = talk(gw.http, b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20000)
    check("http_head_over_16_kib_is_431", statuses(answer) == [431] and closed, answer[:100])
    answer, closed = talk(gw.http, b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X%d: a\r\n" % i for i in range(100)) + b"\r\n")
    check("http_100_headers_are_431", statuses(answer) == [431] and closed, answer[:100])
    answer, closed = talk(gw.http, b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    check("http_target_over_16_kib_is_431", statuses(answer) == [431] and closed, answer[:100])


def forms(gw):
    h = Http(gw.http)
    for name, body in {"empty": b"", "array": b"[]", "deep": b"[" * 100000, "sender_twice": b'{"sender":1,"sender":1,"receiver":null,"body":"AAAA"}',
                       "a_fourth_member": b'{"sender":1,"receiver":null,"body":"AAAA","x":1}', "sender_negative": message(-1),
                       "sender_65536": message(65536), "body_not_base64url": message(0, "AA+/"), "body_null": b'{"sender":1,"receiver":null,"body":null}',
                       "invalid_utf8": b'{"sender":1,"receiver":null,"body":"\xff"}'}.items():
        status, answer = h.ask(post("f", body))
        check(f"message_{name}_is_400", status == 400 and set(json.loads(answer)) == {"code", "cause", "fix"}, (status, answer))
    for name, data, want in (
            ("room_of_129", post("a" * 129, message()), 400), ("room_empty", post("", message()), 400), ("room_escaped", post("a%2fb", message()), 400),
            ("no_room", b"GET /rooms HTTP/1.1\r\nHost: x\r\n\r\n", 404), ("nothing", b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 404),
            ("dots", b"GET /rooms/../health HTTP/1.1\r\nHost: x\r\n\r\n", 404), ("put", b"PUT /health HTTP/1.1\r\nHost: x\r\n\r\n", 405),
            ("get_broadcast", b"GET /rooms/a/broadcast HTTP/1.1\r\nHost: x\r\n\r\n", 405), ("query", post("a?x=1", message()), 404),
            ("form", post("a", message()).replace(b"application/json", b"text/plain\r\nOrigin: http://a"), 415),
            ("no_browser", post("a", message()).replace(b"application/json", b"text/plain"), 200),
            ("not_from", b"GET /rooms/a/subscribe?not_from=-1 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
            ("not_from_twice", b"GET /rooms/a/subscribe?not_from=1&not_from=2 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
            ("prefix_empty", b"GET /rooms/a/subscribe?prefix= HTTP/1.1\r\nHost: x\r\n\r\n", 400),
            ("prefix_twice", b"GET /rooms/a/subscribe?prefix=AA&prefix=AA HTTP/1.1\r\nHost: x\r\n\r\n", 400),
            ("prefix_padded", b"GET /rooms/a/subscribe?prefix=AA%3D HTTP/1.1\r\nHost: x\r\n\r\n", 400),
            ("prefix_too_long", b"GET /rooms/a/subscribe?prefix=" + b"A" * 265 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400),
            ("query_ends_in_and", b"GET /rooms/a/subscribe?prefix=AA& HTTP/1.1\r\nHost: x\r\n\r\n", 400),
            ("query_unknown", b"GET /rooms/a/subscribe?x=1 HTTP/1.1\r\nHost: x\r\n\r\n", 400)):
        status, answer = h.ask(data)
        check(f"request_{name}_is_{want}", status == want, (status, answer))
    h.c.close()
    # a forged sender changes nothing but what not_from leaves out; receivers are not the gateway's business
    h = Http(gw.http)
    for sender in (0, 1, 0, 65535):
        h.ask(post("forged", message(sender)))
    answer, _ = talk(gw.http, subscribe("forged", query=b"?not_from=0"), 0.5)
    check("forged_senders", answer.count(b"event: new-message") == 2 and b"id: 1\n" in answer and b"id: 3\n" in answer, answer)


def resumes(gw):
    h = Http(gw.http)
    for i in range(3):
        h.ask(post("resume", message(i)))
    for value, want in ((b"-1", 400), (b"1e3", 400), (b"", 400), (b"0x1", 400), (b"1 2", 400), (b"01", 400), (b"+1", 400), (b"\xef\xbc\x91", 400),
                        (b"a" * 1000, 400), (b"1" * 19, 3), (b"9" * 400, 3), (b"18446744073709551615", 3), (b"18446744073709551616", 3), (b"3", 3),
                        (b"0", 2), (b"2", 0)):
        answer, closed = talk(gw.http, subscribe("resume", b"Last-Event-ID: " + value + b"\r\n"), 0.4)
        ok = statuses(answer) == [400] if want == 400 else statuses(answer) == [200] and answer.count(b"new-message") == want
        check(f"resume_{value[:20].decode(errors='replace') or 'empty'}_{len(value)}", ok, answer[:300])
    answer, _ = talk(gw.http, subscribe("resume", b"Last-Event-ID: 0\r\nLast-Event-ID: 1\r\n"), 0.4)
    check("resume_twice", statuses(answer) == [400], answer[:100])


def pipelining(gw):
    h = Http(gw.http)
    n = 2000
    h.c.sendall(b"".join(post("pipe%d" % (i % 4), message()) for i in range(n)))
    got = [h.read() for _ in range(n)]
    check("pipelined_2000_in_order", [g[1] for g in got] == [b'{"id":%d}' % (i // 4) for i in range(n)], got[:5])
    h.c.close()
    # requests without reading the answers: the gateway stops reading, and goes on when they are read
    before = rss(gw.process.pid)
    c = connect(gw.http)
    c.setblocking(False)
    data, sent, idle, total = G * 1000, 0, 0, 0
    while idle < 20 and total < 200 * MIB:
        try:
            k = c.send(data[sent:])
            sent, idle, total = (sent + k) % len(data), 0, total + k
        except BlockingIOError:
            idle += 1
            time.sleep(0.05)
    check("answers_that_are_not_read_stop_the_requests", total < 100 * MIB, total)
    check("answers_that_are_not_read_memory", rss(gw.process.pid) - before < bounded(16), rss(gw.process.pid) - before)
    c.setblocking(True)
    c.shutdown(socket.SHUT_WR)
    data, closed = read_all(c, 30)
    check("all_of_them_are_answered_in_the_end", len(statuses(data)) == total // len(G) and closed, (len(statuses(data)), total // len(G)))
    c.close()


def half_closed(gw):
    c = connect(gw.http)
    c.sendall(G)
    c.shutdown(socket.SHUT_WR)
    data, closed = read_all(c)
    check("half_closed_request_is_answered", len(statuses(data)) == 1 and closed, data)
    c = connect(gw.http)
    c.sendall(G[:-2])
    c.shutdown(socket.SHUT_WR)
    data, closed = read_all(c)
    check("half_a_request_is_closed", closed and statuses(data) in ([], [400]), data)
    c = connect(gw.http)
    c.sendall(subscribe("half"))
    c.shutdown(socket.SHUT_WR)
    data, closed = read_all(c)
    check("half_closed_subscriber_is_gone", closed, data)
    check("after_half_closed", good(gw))


def slow_subscriber(gw):
    c = socket.socket()
    c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    c.connect(("127.0.0.1", gw.http))
    c.sendall(subscribe("slow"))
    reader = connect(gw.http)
    reader.sendall(subscribe("slow"))
    h = Http(gw.http)
    before = rss(gw.process.pid)
    body = "A" * 160000
    n, seen = 24, b""
    for i in range(n):
        status, answer = h.ask(post("slow", message(0, body)))
        if status != 200:
            check("slow_subscriber_posts", False, (i, status, answer))
            return
        while seen.count(b"event: new-message") <= i:
            seen += reader.recv(1 << 20)
        seen = re.sub(rb"A{1000,}", b"", seen)
    check("slow_subscriber_memory", rss(gw.process.pid) - before < bounded(16), rss(gw.process.pid) - before)
    data, closed = read_all(c, 10)
    got = data.count(b"event: new-message")
    check("slow_subscriber_is_closed", closed and 0 < got < n, (closed, got))
    last = max(int(i) for i in re.findall(rb"\nid: (\d+)\n", data))
    whole = last if data.endswith(b"\n\n\r\n") else last - 1
    answer, _ = talk(gw.http, subscribe("slow", b"Last-Event-ID: %d\r\n" % whole), 2)
    check("slow_subscriber_resumes", answer.count(b"event: new-message") == n - 1 - whole, (whole, answer.count(b"new-message")))
    check("a_reader_of_the_same_room_is_served", seen.count(b"event: new-message") == n)
    c.close()
    reader.close()


def limits(gw, small):
    streams = []
    for _ in range(16):
        c = connect(gw.http)
        c.sendall(subscribe("many"))
        c.recv(1000)
        streams.append(c)
    answer, _ = talk(gw.http, subscribe("many"), 1)
    check("the_17th_subscriber_of_a_room_is_429", statuses(answer) == [429] and b"ROOM_FULL" in answer, answer)
    for c in streams:
        c.close()
    streams = []
    for i in range(8):
        c = connect(small.http)
        c.sendall(subscribe(f"s{i}"))
        c.recv(1000)
        streams.append(c)
    answer, _ = talk(small.http, subscribe("s9"), 1)
    check("a_subscriber_above_all_is_503", statuses(answer) == [503] and b"ROOM_LIMIT" in answer, answer)
    for c in streams:
        c.close()
    h = Http(gw.http)
    got = [h.ask(post("full", message()))[0] for _ in range(1025)]
    check("the_1025th_message_is_429", got == [200] * 1024 + [429], got[-3:])
    # 40 idle connections and 40 slow ones where 64 are allowed: the newest are served
    idle = [connect(small.http) for _ in range(40)]
    slow = [connect(small.http) for _ in range(40)]
    for c in slow:
        c.sendall(b"GET / HT")
    answer, _ = talk(small.http, G, 2)
    check("connections_above_the_limit_give_way", statuses(answer) in ([200], [503]), answer)
    data, closed = read_all(idle[0], 1)
    check("the_longest_idle_gave_way", closed and data == b"", (data, closed))
    for c in idle + slow:
        c.close()


def half_bodies(gw):
    """Bodies that never end, each of nearly the largest size: more of them than the gateway gives memory to."""
    before = rss(gw.process.pid)
    conns = []
    for _ in range(1000):
        c = connect(gw.http, 5)
        try:
            c.sendall(b"POST /rooms/h/broadcast HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 170000\r\n\r\n")
            c.sendall(b"A" * 169000)
        except OSError:
            pass
        conns.append(c)
    grown = rss(gw.process.pid) - before
    check("half_bodies_memory", grown < bounded(48) and good(gw), grown)
    print(f"# 1,000 bodies of 169 kB that do not end, limit 32 MiB: {grown / 1e6:.1f} MB")
    for c in conns:
        c.close()


def many_rooms(gw):
    before = rss(gw.process.pid)
    h = Http(gw.http)
    count = 12000
    for start in range(0, count, 500):
        h.c.sendall(b"".join(post(f"r{i}", message(0, "A" * 400)) for i in range(start, start + 500)))
        for _ in range(500):
            status, answer = h.read()
            if status != 200:
                check("12000_rooms", False, (status, answer))
                return
    grown = rss(gw.process.pid) - before
    check("12000_rooms_memory", grown < bounded(24), grown)
    print(f"# 10,000 rooms with one message of 300 bytes: {grown / 1e6:.1f} MB")
    total = 0
    body = message(0, "A" * 170000)
    for i in range(2400):  # 400 MB into 256 MiB
        status, answer = h.ask(post(f"b{i}", body))
        total += status == 200
    grown = rss(gw.process.pid) - before
    check("400_mb_of_messages_memory", total == 2400 and grown < bounded(300), (total, grown))
    print(f"# 408 MB of messages into 256 MiB: {grown / 1e6:.1f} MB")
    check("after_many_rooms", good(gw))


class Slow:
    """Slowloris: heads, bodies and nothing at all, a byte at a time; started early, judged late."""

    def __init__(self, gw):
        self.start = time.time()
        self.head = [connect(gw.http, 60) for _ in range(50)]
        self.body = [connect(gw.http, 60) for _ in range(50)]
        self.last = 0.0
        for c in self.body:
            c.sendall(b"POST /rooms/slow/broadcast HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
        self.drip()

    def drip(self):
        if time.time() - self.last < 1:
            return
        self.last = time.time()
        for c in self.head + self.body:
            try:
                c.send(b"G" if c in self.head else b" ")
            except OSError:
                pass

    def judge(self):
        def ended(c):
            data, closed = read_all(c, 0.05)
            return closed, data
        while time.time() - self.start < 11:
            self.drip()
            time.sleep(0.2)
        got = [ended(c) for c in self.head]
        check("slowloris_heads_end_in_10_s", all(g[0] for g in got), got[:2])
        while time.time() - self.start < 31.5:
            self.drip()
            time.sleep(0.2)
        got = [ended(c) for c in self.body]
        check("slowloris_bodies_end_in_30_s", all(g[0] for g in got) and any(b" 408 " in g[1] for g in got), got[:2])


# ---- attacks on HTTP/2

def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


MAGIC = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)


def literal(name, value):
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value




def block_of(path):
    return b"\x83\x86" + literal(b":path", path) + literal(b":authority", b"x") + literal(b"content-type", b"application/grpc") + \
        literal(b"te", b"trailers")


BLOCK = block_of(b"/countersign.v1.Party/Session")
GRPC = b"\x00\x00\x00\x00\x05\x0a\x03abc"


def attack(port, chunks, seconds=15):
    """Sends all of it, reading nothing; True when the peer has closed by then."""
    c = connect(port, seconds)
    c.settimeout(seconds)
    try:
        for data in chunks:
            c.sendall(data)
        return read_all(c, 2)[1]
    except TimeoutError:
        return False
    except OSError:
        return True
    finally:
        c.close()


def h2_attacks():
    def resets():
        yield MAGIC
        for base in range(1, 60000, 2000):
            yield b"".join(frame(1, 4, n, BLOCK) + frame(3, 0, n, b"\0\0\0\x08") for n in range(base, base + 2000, 2))

    def continuations():
        yield MAGIC + frame(1, 0, 1, BLOCK)
        for _ in range(200):
            yield frame(9, 0, 1, literal(b"x", b"y" * 100) * 8) * 40

    def empty_continuations():
        yield MAGIC + frame(1, 0, 1, BLOCK)
        for _ in range(100):
            yield frame(9, 0, 1) * 2000

    def pings():
        yield MAGIC
        for _ in range(300):
            yield frame(6, 0, 0, b"12345678") * 1000

    def settings():
        yield MAGIC
        for _ in range(300):
            yield frame(4, 0, 0, b"\0\x04\0\0\xff\xff") * 1000

    def hpack_bomb():
        name, value = b"n" * 100, b"v" * 3900
        entry = b"\x40" + bytes([len(name)]) + name + b"\x7f" + bytes([(len(value) - 127) % 128 | 0x80, (len(value) - 127) // 128]) + value
        yield MAGIC + frame(1, 4, 1, BLOCK + entry)
        for n in range(3, 3000, 2):
            yield frame(1, 4, n, BLOCK + b"\xbe" * 1000)

    def empty_data():
        yield MAGIC + frame(1, 4, 1, BLOCK)
        for _ in range(200):
            yield frame(0, 0, 1) * 2000

    def windows():
        yield MAGIC + frame(1, 4, 1, BLOCK) + frame(8, 0, 1, b"\x7f\xff\xff\xff") * 3

    def priorities():
        yield MAGIC
        for base in range(1, 400000, 4000):
            yield b"".join(frame(2, 0, n, b"\0\0\0\0\x10") for n in range(base, base + 4000, 2))

    def opened():
        yield MAGIC
        for base in range(1, 8000, 2000):
            yield b"".join(frame(1, 4, n, BLOCK) + frame(0, 0, n, GRPC) for n in range(base, base + 2000, 2))

    def half_messages():
        yield MAGIC
        for n in range(1, 1000, 2):
            yield frame(1, 4, n, BLOCK) + frame(0, 0, n, b"\0\0\x03\xff\xff" + b"x" * 1000)
    return {
        "rapid_reset": (resets(), True), "continuation_flood": (continuations(), True), "empty_continuation_flood": (empty_continuations(), True),
        "ping_flood": (pings(), None), "settings_flood": (settings(), None), "hpack_bomb": (hpack_bomb(), None), "empty_data_flood": (empty_data(), None),
        "window_overflow": (windows(), None), "priority_flood": (priorities(), None), "8000_streams": (opened(), None), "half_messages": (half_messages(), None),
        "http1": (iter([G]), True), "wrong_preface": (iter([b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"]), True),
        "data_on_stream_0": (iter([MAGIC + frame(0, 0, 0, b"x")]), True), "headers_on_even_stream": (iter([MAGIC + frame(1, 5, 2, BLOCK)]), True),
        "frame_of_16_mb": (iter([MAGIC + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01"]), True),
        "bad_hpack": (iter([MAGIC + frame(1, 4, 1, b"\xff\xff\xff\xff\xff\xff")]), True),
    }


HEALTH = "/grpc.health.v1.Health/Check"


def grpc_good(port):
    ch = grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])
    try:
        ch.unary_unary(HEALTH)(b"", timeout=10)
        return True
    except grpc.RpcError as e:
        return e.code().name == "UNKNOWN"
    finally:
        ch.close()


def compressed(name, port):
    ch = grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])
    for path in (HEALTH, "/countersign.v1.Enclave/Attest", "/mpc.Participant/SignTx"):
        try:
            ch.unary_unary(path)(bytes(500), timeout=10, compression=grpc.Compression.Gzip)
            got = "OK"
        except grpc.RpcError as e:
            got = e.code().name
        check(f"{name}_compressed_{path.rsplit('/', 1)[1]}_is_unimplemented", got == "UNIMPLEMENTED", got)
    ch.close()


def http2(name, port, pid):
    before = rss(pid)
    for attack_name, (chunks, must_close) in h2_attacks().items():
        closed = attack(port, chunks)
        check(f"{name}_{attack_name}", (closed or must_close is None) and grpc_good(port), closed)
    compressed(name, port)
    grown = rss(pid) - before
    check(f"{name}_memory_after_attacks", grown < bounded(64), grown)
    print(f"# {name}: {grown / 1e6:.1f} MB more than before")


def half_messages(name, port, pid):
    """Messages of 256 KiB that miss their last bytes, on more streams than there is memory for."""
    before = rss(pid)
    conns, block = [], block_of(b"/countersign.v1.Enclave/Attest")
    for _ in range(6):
        c = connect(port, 5)
        conns.append(c)
        try:
            c.sendall(MAGIC)
            while b"\0\0\0\x04\1" not in c.recv(4096):  # its acknowledgement: its own settings came before
                pass
            c.sendall(frame(4, 1, 0))
            for n in range(1, 401, 2):
                c.sendall(frame(1, 4, n, block) + frame(0, 0, n, b"\0\0\x04\0\0" + b"x" * 16000) + frame(0, 0, n, b"x" * 16000) * 15)
        except OSError:
            pass
    time.sleep(0.5)
    grown = rss(pid) - before
    check(f"{name}_half_messages_of_300_mb_memory", grown < bounded(200) and grpc_good(port), grown)
    print(f"# {name}: 300 MB of messages without their ends: {grown / 1e6:.1f} MB")
    for c in conns:
        c.close()


def unread_streams(name, port, pid):
    """Calls whose answers are never read, with windows wide open."""
    before = rss(pid)
    c = connect(port)
    c.sendall(MAGIC.replace(frame(4, 0, 0), frame(4, 0, 0, b"\0\x04\x7f\xff\xff\xff")) + frame(8, 0, 0, b"\x7f\xff\0\0"))
    block = block_of(b"/grpc.health.v1.Health/Check")
    c.settimeout(2)
    try:
        for base in range(1, 200000, 400):
            c.sendall(b"".join(frame(1, 4, n, block) + frame(0, 1, n, b"\0\0\0\0\0") for n in range(base, base + 400, 2)))
    except OSError:
        pass
    grown = rss(pid) - before
    check(f"{name}_answers_that_are_not_read", grown < bounded(64) and grpc_good(port), grown)
    c.close()


def main():
    service = grpc_python.Service()
    gw = Gateway(service.port, "rooms: {subscribersPerRoom: 16, messagesPerRoom: 1024, bytesPerRoom: 4194304}\n")
    small = Gateway(service.port, "limits: {httpConnections: 64}\nrooms: {subscribers: 8}\n")
    half = Gateway(service.port, "limits: {requestBytes: 33554432}\n")
    try:
        slow = Slow(gw)
        for part in (smuggling, sizes, forms, resumes, half_closed, pipelining, slow_subscriber):
            part(gw)
            slow.drip()
        limits(gw, small)
        half_bodies(half)
        for name, port, pid in (("gateway", gw.grpc, gw.process.pid), ("service", service.port, service.process.pid)):
            http2(name, port, pid)
            unread_streams(name, port, pid)
            half_messages(name, port, pid)
            slow.drip()
        slow.judge()
        many_rooms(gw)
        check("gateway_good_at_the_end", good(gw) and grpc_good(gw.grpc))
        check("service_good_at_the_end", grpc_good(service.port))
    except Exception as e:  # a broken part is a failed test, with its reason
        import traceback
        traceback.print_exc()
        check("run", False, repr(e))
    finally:
        codes = gw.end(), small.end(), half.end()
        check("gateways_end_with_0", codes == (0, 0, 0), codes)
        service.channel.close()
        service.process.kill()
        gw.log.seek(0)
        sys.stderr.write(gw.log.read().decode(errors="replace")[-3000:])
    sys.exit(1 if failed else 0)


main()
