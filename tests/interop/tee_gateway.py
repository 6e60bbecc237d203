#!/usr/bin/python3
"""The TEE service of sign-gateway between gRPC's own Python client and a fake core (tee_gateway_core.py): named operations, calls, idempotency, late
answers, refusals, the gate, HTTP/JSON; signatures are verified by another implementation."""
import base64
import hashlib
import http.client
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

try:
    import cbor2
    import grpc

    from cryptography.hazmat.primitives.asymmetric import ed25519

    import tee_gateway_core as fake
except ImportError as missing:
    print(f"skip tee_gateway ({missing.name} is not installed)")
    sys.exit(77)

failed = False
PCRS = ":".join("%096x" % i for i in (1, 2, 3))


def check(name, ok, detail=""):
    global failed
    failed = failed or not ok
    print(f"ok {name}" if ok else f"not ok {name} ({detail})", flush=True)


class Gateway:
    def __init__(self, service_port, folder, *extra, env=None, start=True, tls=None):
        self.tls = tls
        self.dir = tempfile.TemporaryDirectory()
        self.ports = os.path.join(self.dir.name, "ports")
        self.command = ["sign-gateway", "--listen-grpc", "tcp:127.0.0.1:0", "--listen-http", "tcp:127.0.0.1:0", "--service",
                        f"http://127.0.0.1:{service_port}", "--print-ports", self.ports, "--set", "tee.enabled=true", "--set",
                        f"tee.allowedPCRs={PCRS}", "--set", f"tee.attestationRoot={folder}/root.pem", "--set",
                        f"tee.store.path={folder}/tee.db", *extra]
        self.env = {**os.environ, **(env or {})}
        self.log = open(os.path.join(self.dir.name, "log"), "w+b")
        if start:
            self.start()

    def start(self):
        if os.path.exists(self.ports):
            os.unlink(self.ports)
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stderr=self.log, env=self.env)
        end = time.time() + 20
        while not os.path.exists(self.ports) and time.time() < end and self.process.poll() is None:
            time.sleep(0.02)
        if not os.path.exists(self.ports):
            self.log.seek(0)
            sys.exit("not ok start\n" + self.log.read().decode())
        rows = dict(line.strip().split("=") for line in open(self.ports))
        self.grpc = int(rows["GATEWAY_GRPC"].rsplit(":", 1)[1])
        self.http = int(rows["GATEWAY_HTTP"].rsplit(":", 1)[1])
        target = f"127.0.0.1:{self.grpc}"
        self.channel = grpc.secure_channel(target, self.tls) if self.tls else grpc.insecure_channel(target)

    def grpc_call(self, method, request, timeout=10, metadata=None):
        f = self.channel.unary_unary(f"/countersign.v1.Tee/{method}")
        return fake.fields(f(request, timeout=timeout, metadata=metadata, wait_for_ready=True))

    def code(self, method, request, timeout=10, metadata=None):
        try:
            self.grpc_call(method, request, timeout, metadata)
            return "OK"
        except grpc.RpcError as e:
            return dict(e.trailing_metadata() or ()).get("countersign-code", e.code().name)

    def request(self, method, path, doc=None, headers=None):
        c = http.client.HTTPConnection("127.0.0.1", self.http, timeout=10)
        c.request(method, path, json.dumps(doc) if doc is not None else None, headers or {})
        r = c.getresponse()
        text = r.read()
        c.close()
        return r.status, json.loads(text) if text else None

    def end(self, how=signal.SIGTERM):
        self.channel.close()
        self.process.send_signal(how)
        return self.process.wait(20)


def b64(data):
    return base64.b64encode(data).decode()


def auth_pb(caller, body):
    _, _, rid, at, name, *_ = cbor2.loads(body)
    signature = caller.key.sign(fake.REQUEST + body)
    return fake.field(1, fake.field(1, rid) + fake.field(2, at) + fake.field(3, name) + fake.field(4, signature))


def auth_json(caller, body):
    _, _, rid, at, name, *_ = cbor2.loads(body)
    return {"request_id": b64(rid), "time_ms": at, "caller": name, "signature": b64(caller.key.sign(fake.REQUEST + body))}


def generate_pb(caller, record, alg, rid=None):
    body = caller.body("Generate", [record, alg], rid)
    return auth_pb(caller, body) + fake.field(2, record) + fake.field(3, fake.ALGS[alg])


def sign_pb(caller, record, alg, kind, payload, rid=None, body=None):
    body = body or caller.body("Sign", [record, alg, kind, payload], rid)
    return auth_pb(caller, body) + fake.field(2, record) + fake.field(3, fake.ALGS[alg]) + fake.field(4 + kind, payload)


def named(g, core, app):
    digest = hashlib.sha256(b"pay").digest()
    for alg in (1, 2, 3):
        record = f"key-{alg}"
        r = g.grpc_call("Generate", generate_pb(app, record, alg))
        public = r[1][0]
        kind, payload = (1, b"pay") if alg == 3 else (0, digest)
        s = g.grpc_call("Sign", sign_pb(app, record, alg, kind, payload))
        ok = fake.verify(alg, public, kind, payload, s[1][0]) and s[3][0] == public and r[2][0].decode() == fake.ALGS[alg]
        check(f"sign_{fake.ALGS[alg]}", ok)
        audit = fake.fields(s[15][0])
        core.audit.public_key().verify(audit[2][0], hashlib.sha256(fake.AUDIT + audit[1][0]).digest())
        head = hashlib.sha256(fake.LINK + audit[1][0] + audit[2][0]).digest()
        check(f"audit_{fake.ALGS[alg]}", head == audit[4][0] and audit[3][0] == cbor2.loads(audit[1][0])[1])
    r = g.grpc_call("PublicKey", fake.field(2, "key-1"))
    check("public_key_of_anybody", len(r[1][0]) == 33 and r[2][0] == b"ecdsa-secp256k1")
    document = g.grpc_call("Attest", fake.field(1, b"n" * 32))[1][0]
    check("attest", cbor2.loads(cbor2.loads(document)[2])["nonce"] == b"n" * 32)
    check("attest_short_nonce", g.code("Attest", fake.field(1, b"n" * 8)) == "RANGE", g.code("Attest", fake.field(1, b"n" * 8)))
    check("stats", g.grpc_call("Stats", b"")[1][0] == b"{}")
    check("no_such_record", g.code("Sign", sign_pb(app, "nothing", 3, 1, b"x")) == "NOT_FOUND")
    check("a_record_is_made_once", g.code("Generate", generate_pb(app, "key-1", 1)) == "EXISTS", g.code("Generate", generate_pb(app, "key-1", 1)))
    check("malformed", g.code("Sign", b"\xff\xff") == "FORMAT")
    check("no_input", g.code("Sign", auth_pb(app, app.body("Sign", ["key-1", 1, 0, digest])) + fake.field(2, "key-1") + fake.field(3, "ed25519")) == "FORMAT")
    check("unknown_algorithm", g.code("Generate", auth_pb(app, app.body("Generate", ["x", 1])) + fake.field(2, "x") + fake.field(3, "rsa")) == "ALGORITHM")


def idempotency(g, core, app):
    rid = os.urandom(16)
    body = app.body("Sign", ["key-2", 2, 0, b"d" * 32], rid)
    request = sign_pb(app, "key-2", 2, 0, b"d" * 32, body=body)
    first = g.grpc_call("Sign", request)
    before = len(core.calls)
    check("a_retry_gets_the_same_answer", g.grpc_call("Sign", request) == first and len(core.calls) == before)
    other = sign_pb(app, "key-2", 2, 0, b"e" * 32, rid)
    check("the_same_id_with_another_request", g.code("Sign", other) == "REQUEST_REPLAY" and len(core.calls) == before)
    # the same bytes by Call: the same answer
    r = g.grpc_call("Call", fake.field(1, app.call(body)))
    check("call_and_named_are_one", cbor2.loads(cbor2.loads(r[1][0])[2])[0] == first[1][0] and len(core.calls) == before)
    # a stranger cannot occupy an id
    stranger = fake.Caller("app")
    rid = os.urandom(16)
    check("wrong_signature", g.code("Sign", sign_pb(stranger, "key-2", 2, 0, b"s" * 32, rid)) == "CALLER_AUTH")
    check("a_strangers_id_is_free", g.code("Sign", sign_pb(app, "key-2", 2, 0, b"t" * 32, rid)) == "OK")
    check("unknown_caller", g.code("Sign", sign_pb(fake.Caller("who"), "key-2", 2, 0, b"s" * 32)) == "CALLER_UNKNOWN")


def calls(g, core, app):
    body = app.body("Generate", ["by-call", 3])
    r = cbor2.loads(g.grpc_call("Call", fake.field(1, app.call(body)))[1][0])
    check("call", r[0] == "OK" and r[3] == [["by-call", "OK", 1, "", b"", b"", 3, b""]], r)
    body = app.body("Sign", ["by-call", 3, 1, b"m"])
    check("call_with_other_operation", g.code("Call", fake.field(1, app.call(body)) + fake.field(3, "Seal")) == "FORMAT")
    check("call_with_other_record", g.code("Call", fake.field(1, app.call(body)) + fake.field(4, "key-1")) == "FORMAT")
    check("call_malformed", g.code("Call", fake.field(1, b"\x01")) == "FORMAT")
    r = cbor2.loads(g.grpc_call("Call", fake.field(1, app.call(app.body("Sign", ["by-call", 1, 1, b"m"]))))[1][0])
    check("call_refused_has_its_entry", r[0] == "ALGORITHM" and len(r[4]) > 0, r)
    body = app.body("Seal", ["secret", 1, b"hidden"])
    r = cbor2.loads(g.grpc_call("Call", fake.field(1, app.call(body)))[1][0])
    check("seal", r[0] == "OK")
    stale = g.code("Call", fake.field(1, app.call(app.body("Seal", ["secret", 3, b"hidden"]))))
    check("seal_on_another_version", stale == "SEAL_VERSION", stale)
    r = cbor2.loads(g.grpc_call("Call", fake.field(1, app.call(app.body("Seal", ["secret", 2, b"hidden 2"]))))[1][0])
    check("seal_the_next_version", r[0] == "OK")
    body = app.body("Unseal", ["secret", 0])
    r = g.grpc_call("Unseal", auth_pb(app, body) + fake.field(2, "secret"))
    check("unseal_is_sealed", cbor2.loads(r[1][0])[0] == b"sealed hidden 2")


def rotation(g, core, app):
    def rotate(records, fresh):
        body = app.body("Rotate", [records, "", int(fresh)])
        return auth_pb(app, body) + b"".join(fake.field(2, r) for r in records) + fake.field(4, fresh)
    check("rotate_without_a_key", g.code("Rotate", rotate(["key-1"], False)) == "NOT_FOUND")
    r = g.grpc_call("Rotate", rotate(["key-1", "key-2"], True))
    rows = [fake.fields(x) for x in r[2]]
    check("rotate", r[1] == [2] and [(x[1][0], x[2][0], x[3][0]) for x in rows] == [(b"key-1", b"OK", 2), (b"key-2", b"OK", 2)], r)
    r = g.grpc_call("Rotate", rotate(["key-3"], False))
    check("rotate_on_under_the_same_key", r[1] == [1] and cbor2.loads(core.attached[-1])["new"].startswith(b"new key"))
    check("rotate_what_is_not_there", g.code("Rotate", rotate(["key-1", "none"], True)) == "NOT_FOUND")
    def page(**f):
        numbers = {"after": 1, "limit": 2, "kms": 3, "not_kms": 4, "data_key": 5, "not_data_key": 6}
        r = g.grpc_call("Records", b"".join(fake.field(numbers[k], v) for k, v in f.items()))
        return [fake.fields(x) for x in r.get(1, [])], r.get(2, [b""])[0]
    seen, after, new = {}, b"", b""
    while True:
        rows, after = page(limit=2, after=after)
        for x in rows:
            new = x.get(5, [new])[0]
            seen[x[1][0].decode()] = (x[2][0], new)
        if not after:
            break
    check("records_by_pages", {"key-1", "key-2", "key-3", "secret", "by-call"} <= seen.keys() and seen["key-1"] == seen["key-3"] and seen["secret"][0] == 2, seen)
    rows, _ = page(data_key=seen["key-1"][1])
    check("records_of_a_data_key", [x[1][0] for x in rows] == [b"key-1", b"key-2", b"key-3"], rows)
    rows, _ = page(not_data_key=seen["key-1"][1])
    check("records_of_others", b"key-1" not in [x[1][0] for x in rows] and b"secret" in [x[1][0] for x in rows])
    check("records_none", page(kms="arn:other") == ([], b"") and len(page(not_kms="arn:other")[0]) == len(seen))
    check("records_too_many", g.code("Records", fake.field(2, 257)) == "RANGE" and g.code("Records", b"\xff") == "FORMAT")
    check("signs_after_rotation", g.code("Sign", sign_pb(app, "key-3", 3, 1, b"after")) == "OK")


def late(g, core, app):
    body = app.body("Sign", ["key-3", 3, 1, b"late"])
    request = sign_pb(app, "key-3", 3, 1, b"late", body=body)
    core.delay = 2
    start = time.time()
    code, took = g.code("Sign", request), time.time() - start
    check("late_is_tee_timeout", code == "TEE_TIMEOUT" and 0.8 < took < 1.9, (code, took))
    start = time.time()
    code = g.code("Sign", sign_pb(app, "key-3", 3, 1, b"short"), timeout=0.3)
    check("the_callers_own_deadline_is_shorter", code in ("DEADLINE_EXCEEDED", "TEE_TIMEOUT", "TIMEOUT") and time.time() - start < 0.9, code)
    time.sleep(1.6)
    core.delay = 0
    code = g.code("Sign", request)
    check("its_retry_gets_the_result", code == "OK" and sum(cbor2.loads(c)[0] == body for c in core.calls) == 1, code)
    core.delay = 0.5
    body = app.body("Sign", ["key-3", 3, 1, b"twice"])
    request, codes = sign_pb(app, "key-3", 3, 1, b"twice", body=body), []
    threads = [threading.Thread(target=lambda: codes.append(g.code("Sign", request))) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    core.delay = 0
    check("four_at_once_are_one", codes == ["OK"] * 4 and sum(cbor2.loads(c)[0] == body for c in core.calls) == 1, codes)


def faults(g, core, app):
    core.fail = grpc.StatusCode.UNAVAILABLE
    check("core_fails", g.code("Sign", sign_pb(app, "key-3", 3, 1, b"f")) == "UPSTREAM")
    core.fail = None
    for name, lie in (("garbage", lambda r: b"garbage"), ("empty", lambda r: b""), ("cut", lambda r: r[:-1]),
                      ("without_entry", lambda r: cbor2.dumps([*cbor2.loads(r)[:4], b"", b""])),
                      ("of_another_operation", lambda r: cbor2.dumps([*cbor2.loads(r)[:2], cbor2.dumps([1]), *cbor2.loads(r)[3:]]))):
        core.lie = lie
        code = g.code("Generate", generate_pb(app, "lied", 3))
        check(f"core_lies_{name}", code == "UPSTREAM", code)
    core.lie = None


def json_api(g, core, app):
    body = app.body("Generate", ["json-key", 2])
    status, r = g.request("POST", "/v1/tee/generate", {"auth": auth_json(app, body), "record": "json-key", "algorithm": "ecdsa-p256"})
    check("http_generate", status == 200 and r["algorithm"] == "ecdsa-p256" and len(base64.b64decode(r["public_key"])) == 33, r)
    public = base64.b64decode(r["public_key"])
    digest = hashlib.sha256(b"http").digest()
    body = app.body("Sign", ["json-key", 2, 0, digest])
    doc = {"auth": auth_json(app, body), "record": "json-key", "algorithm": "ecdsa-p256", "digest": b64(digest)}
    status, r = g.request("POST", "/v1/tee/Sign", doc)
    check("http_sign", status == 200 and fake.verify(2, public, 0, digest, base64.b64decode(r["signature"])) and r["audit"]["counter"] > 0, r)
    check("http_retry", g.request("POST", "/v1/tee/sign", doc) == (status, r))
    status, r = g.request("POST", "/v1/tee/sign", {**doc, "colour": "red"})
    check("http_unknown_member", status == 400 and r["code"] == "FORMAT" and r["detail"] == "unknown member", r)
    status, r = g.request("POST", "/v1/tee/sign", {**doc, "message": "AA=="})
    check("http_two_inputs", status == 400 and r["code"] == "FORMAT", r)
    status, r = g.request("POST", "/v1/tee/sign", {**doc, "digest": "not base64"})
    check("http_not_base64", status == 400 and r["detail"] == "digest", r)
    status, r = g.request("POST", "/v1/tee/public_key", {"record": "json-key"})
    check("http_public_key", status == 200 and base64.b64decode(r["public_key"]) == public, r)
    nonce = base64.urlsafe_b64encode(b"n" * 20).decode().rstrip("=")
    status, r = g.request("GET", f"/v1/tee/attest?nonce={nonce}")
    check("http_attest", status == 200 and cbor2.loads(cbor2.loads(base64.b64decode(r["document"]))[2])["nonce"] == b"n" * 20, r)
    check("http_attest_without_nonce", g.request("GET", "/v1/tee/attest")[0] == 400)
    status, r = g.request("POST", "/v1/tee/seal", {"record": "x"})
    check("http_seal_in_the_clear", status == 400 and r["code"] == "REQUEST_CLEAR", r)
    check("http_no_such_operation", g.request("POST", "/v1/tee/dance", {})[0] == 404)
    check("http_get_of_a_post", g.request("GET", "/v1/tee/sign")[0] == 405)
    body = app.body("Sign", ["json-key", 2, 0, digest])
    status, r = g.request("POST", "/v1/tee/call", {"call": b64(app.call(body)), "operation": "Sign", "records": ["json-key"]})
    check("http_call", status == 200 and cbor2.loads(base64.b64decode(r["reply"]))[0] == "OK", r)
    stranger = fake.Caller("app")
    status, r = g.request("POST", "/v1/tee/sign", {**doc, "auth": auth_json(stranger, app.body("Sign", ["json-key", 2, 0, digest]))})
    check("http_wrong_signature", status == 403 and r["code"] == "CALLER_AUTH", (status, r))


def killed(g, core, app):
    """the gateway dies before the answer is stored; a new one does it again"""
    request = generate_pb(app, "after-kill", 3)
    core.delay = 1
    t = threading.Thread(target=lambda: g.code("Generate", request, timeout=5))
    t.start()
    time.sleep(0.5)
    g.end(signal.SIGKILL)
    t.join()
    core.delay = 0
    g.start()
    until(lambda: g.code("Sign", sign_pb(app, "key-3", 3, 1, b"open")) == "OK")
    public = g.grpc_call("Generate", request)[1][0]
    check("done_again_after_a_kill", g.grpc_call("PublicKey", fake.field(2, "after-kill"))[1][0] == public)
    check("and_kept", g.grpc_call("Generate", request)[1][0] == public)


def until(what, seconds=10):
    end = time.time() + seconds
    while time.time() < end:
        if what():
            return True
        time.sleep(0.05)
    return False


def gate(folder, app):
    """what the enclave attests decides, at the start, on a new connection and after a while"""
    core = fake.Core([app])
    open(f"{folder}/root.pem", "wb").write(core.nsm.pem())
    server, port = fake.serve(core)
    core.nsm.pcrs[0] = b"x" * 48
    g = Gateway(port, folder, "--set", "tee.gateRecheckSeconds=1")
    request = generate_pb(app, "gated", 3)
    check("gate_other_image", g.code("Generate", request) == "TEE_GATE")
    check("gate_lets_see", g.code("Attest", fake.field(1, b"n" * 32)) == "OK" and g.code("Stats", b"") == "OK")
    check("gate_http", g.request("POST", "/v1/tee/generate", {"auth": auth_json(app, app.body("Generate", ["h", 3])), "record": "h", "algorithm": "ed25519"})[0] == 409)
    core.nsm.pcrs[0] = (1).to_bytes(48, "big")
    check("gate_opens", until(lambda: g.code("Generate", generate_pb(app, os.urandom(4).hex(), 3)) == "OK"))
    core.nsm.pcrs[2] = b"y" * 48
    check("gate_closes_when_it_changes", until(lambda: g.code("Sign", sign_pb(app, "gated", 3, 1, b"x")) == "TEE_GATE"))
    core.nsm.pcrs[2] = (3).to_bytes(48, "big")
    check("gate_opens_again", until(lambda: g.code("Generate", generate_pb(app, os.urandom(4).hex(), 3)) == "OK"))
    server.stop(0)
    other = fake.Core([app])  # another root, the same address
    server, _ = fake.serve(other, port)
    check("gate_checks_a_new_connection", until(lambda: g.code("Generate", generate_pb(app, os.urandom(4).hex(), 3)) == "TEE_GATE") and not any(
        cbor2.loads(cbor2.loads(c)[0])[1] == 5 for c in other.calls))
    server.stop(0)
    g.end()


def full_disk(g, core, app):
    """the database may not grow: nothing is given out that is not stored, and it goes on by itself"""
    pid, lowest = g.process.pid, 4096
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (lowest, resource.RLIM_INFINITY))
    requests = [generate_pb(app, f"full-{i}", 3) for i in range(3)]
    codes = [g.code("Generate", r) for r in requests]
    check("full_disk_is_said", set(codes) <= {"STORE", "TEE_TIMEOUT", "TEE_BUSY"} and "OK" not in codes, codes)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    check("full_disk_passes", all(until(lambda r=r: g.code("Generate", r) == "OK") for r in requests))
    one = g.grpc_call("Generate", requests[0])
    check("full_disk_lost_nothing", g.grpc_call("PublicKey", fake.field(2, "full-0"))[1] == one[1])


def audit_rows(folder, core):
    db = sqlite3.connect(f"file:{folder}/tee.db?mode=ro", uri=True, timeout=5)
    rows = db.execute("SELECT counter, entry, signature FROM tee_audit WHERE boot = ? ORDER BY counter", [core.boot.hex()]).fetchall()
    db.close()
    return {c: [base64.b64decode(e), base64.b64decode(s)] for c, e, s in rows}


def whole(folder, core, num):
    """the store has core's entries 1..num, byte for byte"""
    have = audit_rows(folder, core)
    return [have.get(i + 1) for i in range(num)] == core.entries[:num]


def lost_entries(folder, app):
    """entries whose reply was lost are fetched from core; what is not core's is not taken"""
    core = fake.Core([app])
    open(f"{folder}/root.pem", "wb").write(core.nsm.pem())
    server, port = fake.serve(core)
    g = Gateway(port, folder, "--set", "tee.requestTimeoutSeconds=1")
    make = lambda: generate_pb(app, os.urandom(4).hex(), 3)  # noqa: E731
    check("entries_open", until(lambda: g.code("Generate", make()) == "OK"))
    core.lie = lambda r: b"garbage"
    for _ in range(3):
        g.code("Generate", make())
    core.lie, num = None, core.counter
    check("entries_of_lost_replies", until(lambda: whole(folder, core, num)), (num, sorted(audit_rows(folder, core))))
    core.lie = lambda r: b"garbage"
    g.code("Generate", make())
    core.lie = None
    check("entries_in_between", g.code("Generate", make()) == "OK" and until(lambda: whole(folder, core, core.counter)), core.asked)
    asked = len(core.asked)
    for _ in range(20):
        g.code("Generate", make())
    time.sleep(2)
    check("entries_not_asked_for_without_need", len(core.asked) == asked and whole(folder, core, core.counter), core.asked)
    other = ed25519.Ed25519PrivateKey.generate()
    forged = {
        "other_key": lambda es: [[e, other.sign(hashlib.sha256(fake.AUDIT + e).digest())] for e, _ in es],
        "changed": lambda es: [[e[:-1] + bytes([e[-1] ^ 1]), s] for e, s in es],
        "far_away": lambda es: [[cbor2.dumps([*(x := cbor2.loads(es[0][0]))[:1], x[1] + 10**12, *x[2:]]), es[0][1]]] if es else es,
        "order": lambda es: es[1:] + es[:1],
        "garbage": lambda es: 7,
    }
    for name, forge in forged.items():
        core.forge, core.lie, before, refused = forge, lambda r: b"garbage", core.counter, log_of(g).count('"AUDIT_CHAIN"')
        g.code("Generate", make())
        g.code("Generate", make())
        core.lie, asked = None, len(core.asked)
        until(lambda a=asked: len(core.asked) > a)
        time.sleep(0.2)
        check(f"entries_forged_{name}", len(core.asked) > asked and max(audit_rows(folder, core)) == before and
              log_of(g).count('"AUDIT_CHAIN"') > refused, core.asked)
        core.forge = None
        g.end(signal.SIGKILL)
        g.start()
        check(f"entries_after_{name}", until(lambda: len(core.entries) > before + 2 and whole(folder, core, core.counter)), sorted(audit_rows(folder, core))[-3:])
    core.lie = lambda r: b"garbage"

    def load():
        try:
            for _ in range(100):
                g.code("Generate", make(), timeout=2)
        except ValueError:  # the channel was closed
            pass
    threads = [threading.Thread(target=load) for _ in range(4)]
    [t.start() for t in threads]
    time.sleep(0.3)
    g.end(signal.SIGKILL)
    [t.join() for t in threads]
    core.lie, num = None, core.counter
    check("entries_lost_by_the_kill", len(audit_rows(folder, core)) < num)
    g.start()
    check("entries_after_a_kill_under_load", until(lambda: whole(folder, core, core.counter), 20), (num, len(audit_rows(folder, core))))
    check("entries_filled_is_logged", "tee_audit_filled" in log_of(g))
    server.stop(0)
    g.end()


def log_of(g):
    with open(g.log.name, "rb") as f:
        return f.read().decode()


def ends_in_order(g, core, app):
    """a call over HTTP that is under way at SIGTERM still gets its answer"""
    core.delay, answers = 0.8, []
    body = app.body("Generate", ["at-the-end", 3])
    doc = {"auth": auth_json(app, body), "record": "at-the-end", "algorithm": "ed25519"}
    t = threading.Thread(target=lambda: answers.append(g.request("POST", "/v1/tee/generate", doc)))
    t.start()
    time.sleep(0.3)
    ended = g.end()
    t.join()
    core.delay = 0
    check("it_ends_in_order", ended == 0 and answers and answers[0][0] == 200, (ended, answers))


def main():
    app = fake.Caller("app")
    core = fake.Core([app])
    server, port = fake.serve(core)
    with tempfile.TemporaryDirectory() as folder:
        gate(folder, app)
    with tempfile.TemporaryDirectory() as folder:
        lost_entries(folder, app)
    with tempfile.TemporaryDirectory() as folder:
        open(f"{folder}/root.pem", "wb").write(core.nsm.pem())
        g = Gateway(port, folder, "--set", "tee.requestTimeoutSeconds=1")
        check("gate_is_open", until(lambda: g.code("Generate", generate_pb(app, os.urandom(4).hex(), 3)) == "OK"))
        for part in (named, idempotency, calls, rotation, late, faults, json_api, killed, full_disk, ends_in_order):
            part(g, core, app)
    with tempfile.TemporaryDirectory() as folder:
        g = Gateway(port, folder, "--set", "tee.enabled=false")
        check("off_is_tee_disabled", g.code("Stats", b"") == "TEE_DISABLED" and g.request("POST", "/v1/tee/stats", {})[0] == 409)
        g.end()
    server.stop(0)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
