#!/usr/bin/python3
"""Hostile clients of sign-gateway's TEE service: bodies and messages that are malformed, deep, long or cut, names and claims that lie, floods of
connections that say nothing, and a flood of strangers. It answers each with a refusal, keeps nothing of strangers, and serves others all along."""
import http.client
import json
import os
import pathlib
import socket
import sqlite3
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "interop"))
import tee_gateway as t  # noqa: E402 - ends with 77 without its modules
import tee_gateway_core as fake  # noqa: E402
from tee_gateway import check  # noqa: E402


def post(g, path, body, headers=None):
    c = http.client.HTTPConnection("127.0.0.1", g.http, timeout=10)
    try:
        c.request("POST", path, body, headers or {})
        r = c.getresponse()
        return r.status, r.read()
    finally:
        c.close()


def bodies(g, app):
    sign = {"auth": t.auth_json(app, app.body("Sign", ["k", 3, 1, b"x"])), "record": "k", "algorithm": "ed25519", "message": "eA=="}
    cases = {
        "deep": b"[" * 200000, "deep_objects": b'{"a":' * 20000, "nothing": b"", "binary": os.urandom(5000), "cut": json.dumps(sign)[:-5].encode(),
        "twice": json.dumps(sign).encode() * 2, "nul": b'{"record":"k\\u0000"}', "not_utf8": b'{"record":"\xff"}',
        "number_too_large": b'{"auth":{"time_ms":' + b"9" * 400 + b"}}", "many_records": json.dumps({"records": ["a"] * 300}).encode(),
        "many_approvals": json.dumps({"auth": {"approvals": [{}] * 17}}).encode(),
    }
    for name, body in cases.items():
        for path in ("sign", "rotate", "call"):
            status, answer = post(g, f"/v1/tee/{path}", body)
            code = json.loads(answer).get("code")
            check(f"body_{name}_{path}", status in (400, 413) and code in ("FORMAT", "RANGE", "TOO_LARGE"), (status, answer[:200]))
    status, _ = post(g, "/v1/tee/sign", b"x" * (256 * 1024 + 1))
    check("body_too_large", status == 413, status)
    for path in ("/v1/tee/", "/v1/tee/../x", "/v1/tee/sign/", "/v1/tee/" + "a" * 5000, "/v1/tee/sign?x=1", "/v1/tee/%73ign"):
        check(f"path_{path[8:20]}", post(g, path, b"{}")[0] in (400, 404), path)
    for query in ("nonce", "nonce=", "nonce=AA", "nonce=" + "A" * 3000, "nonce=AAAA====", "nonce=" + "A" * 40 + "&x=1", "x=1", ""):
        check(f"query_{query[:12]}", g.request("GET", f"/v1/tee/attest?{query}")[0] == 400, query)
    status, _ = post(g, "/v1/tee/sign", json.dumps(sign), {"Origin": "http://evil", "Content-Type": "text/plain"})
    check("form_of_a_browser", status == 415, status)


def messages(g, app):
    good = t.sign_pb(app, "k", 3, 1, b"x")
    bad = 0
    for i in range(300):
        cut = bytearray(good)
        cut[i % len(cut)] ^= 1 + i % 255
        bad += g.code("Sign", bytes(cut)) == "OK"
    check("changed_messages", bad <= 1, bad)  # a changed copy of an unsigned tag may be the same message
    check("all_cuts", all(g.code("Sign", good[:i]) != "OK" for i in range(0, len(good), 7)))
    for method in ("Sign", "Rotate", "Attest", "Call"):
        check(f"random_{method}", all(g.code(method, os.urandom(n)) != "OK" for n in (1, 10, 100, 5000)))


def strangers(g, core, folder):
    stranger, before = fake.Caller("app"), len(core.calls)
    codes = {g.code("Generate", t.generate_pb(stranger, f"s-{i}", 3)) for i in range(200)}
    codes |= {g.code("Generate", t.generate_pb(fake.Caller(f"who-{i}"), f"s-{i}", 3)) for i in range(200)}
    check("strangers_are_refused", codes == {"CALLER_AUTH", "CALLER_UNKNOWN"} and len(core.calls) >= before + 400, codes)
    return lambda: sqlite3.connect(f"file:{folder}/tee.db?mode=ro", uri=True).execute(
        "SELECT (SELECT COUNT(*) FROM tee_requests WHERE caller LIKE 'who-%'), (SELECT COUNT(*) FROM keys WHERE id LIKE 's-%')").fetchone()


def floods(g, app):
    idle = []
    for port in (g.http, g.grpc):
        for i in range(150):
            s = socket.create_connection(("127.0.0.1", port), timeout=5)
            s.sendall((b"", b"POST /v1/tee/sign HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n{", b"\x16\x03\x01")[i % 3])
            idle.append(s)
    check("serves_beside_idle_connections", g.code("Sign", t.sign_pb(app, "k", 3, 1, b"beside")) == "OK" and g.request("POST", "/v1/tee/stats", {})[0] == 200)
    for s in idle:
        s.close()


def main():
    app = fake.Caller("app")
    core = fake.Core([app])
    server, port = fake.serve(core)
    with tempfile.TemporaryDirectory() as folder:
        open(f"{folder}/root.pem", "wb").write(core.nsm.pem())
        g = t.Gateway(port, folder)
        t.until(lambda: g.code("Generate", t.generate_pb(app, "k", 3)) in ("OK", "EXISTS"))
        bodies(g, app)
        messages(g, app)
        counted = strangers(g, core, folder)
        floods(g, app)
        check("serves_still", g.code("Sign", t.sign_pb(app, "k", 3, 1, b"still")) == "OK")
        check("it_ends", g.end() == 0)
        check("nothing_of_strangers_is_kept", counted() == (0, 0), counted())
    server.stop(0)
    sys.exit(1 if t.failed else 0)


main()
