"""tee_core.py TARGET CALLER.json STATE.json STEP: calls of the TEE service straight to sign-service (countersign.v1.TeeCore/Call), as a gateway
makes them; everything that core answers is checked here with other people's cryptography. STEP: first (make, sign, seal), again (what
first stored still signs and opens, the chain goes on), busy (more calls at once than may wait)."""
import concurrent.futures
import hashlib
import json
import os
import sys
import time

import cbor2
import grpc
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

OPS = {"Sign": 1, "Generate": 5, "PublicKey": 7, "Rotate": 8, "Attest": 9, "Stats": 10}
K1, P256, ED = 1, 2, 3
target, caller_file, state_file, step = sys.argv[1:]
caller = json.load(open(caller_file, encoding="utf-8"))
key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(caller["ed25519_seed"]))
channel = grpc.insecure_channel(target, options=[("grpc.max_receive_message_length", 1 << 20)])
channel_call = channel.unary_unary("/countersign.v1.TeeCore/Call", lambda b: b, lambda b: b)
chain = {"head": None, "counter": 0, "key": None}
dumps = lambda v: cbor2.dumps(v, canonical=True)


def field(number, value):
    out, n = bytes([number << 3 | 2]), len(value)
    while n >= 0x80:
        out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
    return out + bytes([n]) + value


def unfield(message):
    at, n, shift = 1, 0, 0
    while True:
        n, shift, at = n | (message[at] & 0x7F) << shift, shift + 7, at + 1
        if message[at - 1] < 0x80:
            return message[at:at + n]


def request(op, fields, signed=True):
    body = dumps([1, OPS[op], os.urandom(16), int(time.time() * 1000), caller["id"] if signed else "", *fields])
    return dumps([body, key.sign(b"countersign-tee-request-1\n" + body) if signed else b"", []])


def send(call, attached):
    return cbor2.loads(unfield(channel_call(field(1, call) + field(3, dumps(attached)), timeout=20)))


def entry_checked(reply):
    code, _, result, _, entry, sig = reply
    e = cbor2.loads(entry)
    chain["key"].verify(sig, hashlib.sha256(b"countersign-audit-1\n" + entry).digest())
    assert e[12] == hashlib.sha256(result).digest() and e[10] == code
    if chain["head"] is not None:
        assert (e[1], e[3]) == (chain["counter"] + 1, chain["head"]), "the chain is broken"
    chain["head"], chain["counter"] = hashlib.sha256(b"countersign-audit-link-1\n" + entry + sig).digest(), e[1]


def call(op, fields, attached=None, signed=True):
    """the result's fields and the rows; the code when it is refused"""
    reply = send(request(op, fields, signed), attached or {})
    if chain["key"] is not None and reply[4]:
        entry_checked(reply)
    return (cbor2.loads(reply[2]) if reply[2] else reply[0]), reply[3]


def learn():
    result, _ = call("Attest", [b"n" * 32], signed=False)
    doc = cbor2.loads(cbor2.loads(result[0])[2])
    assert doc["nonce"] == b"n" * 32
    vouch = cbor2.loads(doc["user_data"])
    assert vouch[:2] == [1, "tee"] and len(vouch[2]) == 32 and len(vouch[4]) == 16
    chain["key"] = ed25519.Ed25519PublicKey.from_public_bytes(vouch[3])


def verify(alg, public, signature, message):
    if alg == ED:
        ed25519.Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        return
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    curve = ec.SECP256K1() if alg == K1 else ec.SECP256R1()
    ec.EllipticCurvePublicKey.from_encoded_point(curve, public).verify(
        utils.encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))


def sign(row, message=b"a message"):
    result, _ = call("Sign", [row[0], row[6], 1, message], {"rows": [row]})
    assert isinstance(result, list), result
    verify(row[6], result[2], result[0], message)
    assert result[2] == row[7]


def refused(code, *args, **more):
    result, _ = call(*args, **more)
    assert result == code, (result, code)


def first():
    rows = []
    for alg in (K1, P256, ED):
        result, made = call("Generate", [f"wallet-{alg}", alg])
        assert isinstance(result, list), result
        assert made[0][7] == result[0] and made[0][2] == 1
        rows.append(made[0])
        sign(made[0])
        result, _ = call("PublicKey", [made[0][0]], {"rows": made}, signed=False)
        assert result == [made[0][7], alg]
    json.dump([[c.hex() if isinstance(c, bytes) else c for c in r] for r in rows], open(state_file, "w", encoding="utf-8"))
    other = list(rows[0])
    other[5] = rows[1][5]
    refused("SEAL_OPEN", "Sign", ["wallet-1", K1, 1, b"m"], {"rows": [other]})
    refused("CALLER_RECORD", "Sign", ["purse", K1, 1, b"m"], {"rows": [rows[0]]})
    refused("CALLER_UNKNOWN", "Sign", ["wallet-1", K1, 1, b"m"], {"rows": [rows[0]]}, signed=False)


def stored():
    rows = json.load(open(state_file, encoding="utf-8"))
    return [[bytes.fromhex(c) if i in (4, 5, 7) else c for i, c in enumerate(r)] for r in rows]


def again():
    rows = stored()
    for row in rows:
        sign(row)
    result, made = call("Rotate", [[r[0] for r in rows], "", 1], {"rows": rows})
    assert result == [len(rows)] and [r[2] for r in made] == [2] * len(rows), result
    for row in made:
        row[3], row[4] = made[0][3], made[0][4]
        sign(row)


def busy():
    row = stored()[0]
    made = [request("Sign", [row[0], row[6], 1, b"m%d" % i]) for i in range(400)]
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        codes = [r[0] for r in pool.map(lambda c: send(c, {"rows": [row]}), made)]
    assert set(codes) <= {"OK", "TEE_BUSY"} and codes.count("OK") >= 16, {c: codes.count(c) for c in codes}
    # the gaps that this step left in our chain are filled
    chain["head"] = None
    sign(row)
    asked = channel.unary_unary("/countersign.v1.TeeCore/Entries", lambda b: b, lambda b: b)
    entries = cbor2.loads(unfield(asked(b"\x08\x01", timeout=20)))
    assert len(entries) >= 300 or cbor2.loads(entries[-1][0])[1] == chain["counter"]
    previous = bytes(32)
    for n, (entry, sig) in enumerate(entries):
        e = cbor2.loads(entry)
        chain["key"].verify(sig, hashlib.sha256(b"countersign-audit-1\n" + entry).digest())
        assert (e[1], e[3]) == (n + 1, previous)
        previous = hashlib.sha256(b"countersign-audit-link-1\n" + entry + sig).digest()


learn()
{"first": first, "again": again, "busy": busy}[step]()
