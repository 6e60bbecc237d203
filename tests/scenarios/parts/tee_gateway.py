"""tee_gateway.py GRPC HTTP CALLER.json STATE.json STEP: the TEE service through sign-gateway with gRPC's own client and HTTP, signatures verified
by another implementation. STEP: open (waits until the gate is), load (signs until the gateway is gone), first (make, sign, retry, rotate), again (what first made still signs,
what it asked is still answered alike), gated (callers are refused, attestation is not)."""
import base64
import hashlib
import http.client
import json
import os
import pathlib
import sys
import threading
import time

import cbor2
import grpc
from cryptography.hazmat.primitives.asymmetric import ed25519

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "interop"))
import tee_gateway_core as wire  # noqa: E402

target, web, caller_file, state_file, step = sys.argv[1:]
identity = json.load(open(caller_file, encoding="utf-8"))
app = wire.Caller(identity["id"])
app.key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(identity["ed25519_seed"]))
channel = grpc.insecure_channel(target)
DIGEST = hashlib.sha256(b"a payment").digest()


def rpc(method, message):
    return wire.fields(channel.unary_unary(f"/countersign.v1.Tee/{method}")(message, timeout=15))


def code(method, message):
    try:
        rpc(method, message)
        return "OK"
    except grpc.RpcError as e:
        return dict(e.trailing_metadata() or ()).get("countersign-code", e.code().name)


def auth(body, caller=app):
    _, _, rid, at, name, *_ = cbor2.loads(body)
    return wire.field(1, wire.field(1, rid) + wire.field(2, at) + wire.field(3, name) + wire.field(4, caller.key.sign(wire.REQUEST + body)))


def generate(record, alg):
    return auth(app.body("Generate", [record, alg])) + wire.field(2, record) + wire.field(3, wire.ALGS[alg])


def sign(record, alg, kind, payload, caller=app):
    body = caller.body("Sign", [record, alg, kind, payload])
    return auth(body, caller) + wire.field(2, record) + wire.field(3, wire.ALGS[alg]) + wire.field(4 + kind, payload)


def post(path, doc):
    c = http.client.HTTPConnection(web, timeout=15)
    c.request("POST", path, json.dumps(doc))
    r = c.getresponse()
    return r.status, json.loads(r.read())


def payload_of(alg):
    return (1, b"a payment") if alg == 3 else (0, DIGEST)


def first():
    state = {"keys": {}}
    for alg in (1, 2, 3, 4):
        record = f"wallet-{alg}"
        public = rpc("Generate", generate(record, alg))[1][0]
        request = sign(record, alg, *payload_of(alg))
        signed = rpc("Sign", request)
        assert signed[3][0] == public and len(signed[1][0]) == 64
        if alg != 4:  # BIP-340 has its own test: this library knows it not
            assert wire.verify(alg, public, *payload_of(alg), signed[1][0]), wire.ALGS[alg]
        assert rpc("Sign", request) == signed, "the retry differs"
        state["keys"][str(alg)] = public.hex()
    state["request"], state["answer"] = request.hex(), signed[1][0].hex()
    assert code("Generate", generate("wallet-1", 1)) in ("EXISTS", "SEAL_VERSION")
    assert code("Sign", sign("wallet-9", 1, 0, DIGEST)) == "NOT_FOUND"
    assert code("Sign", sign("wallet-1", 1, 0, DIGEST, wire.Caller(app.name))) == "CALLER_AUTH"
    assert code("Sign", sign("wallet-1", 1, 0, DIGEST, wire.Caller("nobody"))) == "CALLER_UNKNOWN"
    assert code("Generate", generate("other-1", 1)) == "CALLER_RECORD"
    body = app.body("Rotate", [["wallet-1", "wallet-2"], "", 1])
    rotated = rpc("Rotate", auth(body) + wire.field(2, "wallet-1") + wire.field(2, "wallet-2") + wire.field(4, 1))
    assert rotated[1] == [2] and [wire.fields(r)[3][0] for r in rotated[2]] == [2, 2], rotated
    body = app.body("Rotate", [["wallet-3"], "", 0])
    assert rpc("Rotate", auth(body) + wire.field(2, "wallet-3"))[1] == [1]
    json.dump(state, open(state_file, "w", encoding="utf-8"))


def again():
    state = json.load(open(state_file, encoding="utf-8"))
    for alg in (1, 2, 3):
        signed = rpc("Sign", sign(f"wallet-{alg}", alg, *payload_of(alg)))
        assert wire.verify(alg, bytes.fromhex(state["keys"][str(alg)]), *payload_of(alg), signed[1][0])
    assert rpc("Sign", bytes.fromhex(state["request"]))[1][0].hex() == state["answer"]
    status, r = post("/v1/tee/public_key", {"record": "wallet-2"})
    assert status == 200 and base64.b64decode(r["public_key"]).hex() == state["keys"]["2"], r
    body = app.body("Sign", ["wallet-2", 2, 0, DIGEST])
    _, _, rid, at, name, *_ = cbor2.loads(body)
    b64 = lambda v: base64.b64encode(v).decode()  # noqa: E731
    status, r = post("/v1/tee/sign", {"auth": {"request_id": b64(rid), "time_ms": at, "caller": name, "signature": b64(
        app.key.sign(wire.REQUEST + body))}, "record": "wallet-2", "algorithm": "ecdsa-p256", "digest": b64(DIGEST)})
    assert status == 200 and wire.verify(2, bytes.fromhex(state["keys"]["2"]), 0, DIGEST, base64.b64decode(r["signature"])), r


def gated():
    assert code("Sign", sign("wallet-1", 1, 0, DIGEST)) == "TEE_GATE", code("Sign", sign("wallet-1", 1, 0, DIGEST))
    assert code("Attest", wire.field(1, os.urandom(32))) == "OK"


def opened():
    end = time.time() + 30
    while code("Sign", sign("wallet-none", 1, 0, DIGEST)) != "NOT_FOUND":
        assert time.time() < end, code("Sign", sign("wallet-none", 1, 0, DIGEST))
        time.sleep(0.2)


def load():
    """eight at once, until the gateway is gone; how many were answered"""
    done = []

    def work():
        end = time.time() + 30
        while time.time() < end:
            if code("Sign", sign("wallet-1", 1, 0, DIGEST)) == "UNAVAILABLE":
                return
            done.append(1)
    threads = [threading.Thread(target=work) for _ in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert done, "nothing was signed before the kill"


{"open": opened, "load": load, "first": first, "again": again, "gated": gated}[step]()
