"""The caller of 22-tee-kms.sh: requests of countersign.v1.TeeCore/Call made with cbor2 and cryptography, gRPC's own client. Arguments:
HOST:PORT, the caller's identity, the emulator's folder. Not a test by itself."""
import hashlib
import json
import os
import sys
import threading
import time

import cbor2
import grpc
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils
from cryptography.hazmat.primitives import hashes

address, identity, emulator = sys.argv[1:4]
caller = json.load(open(identity))
key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(caller["ed25519_seed"]))
channel = grpc.insecure_channel(address)
SIGN, GENERATE = 1, 5
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


def field(number, value):
    return varint(number << 3 | 2) + varint(len(value)) + value


def call(op, *fields, rows=(), signed=True, timeout=30):
    """The reply as a list: code, sealed, result, rows, entry, signature; or the code of gRPC's refusal alone."""
    body = cbor2.dumps([1, op, os.urandom(16), int(time.time() * 1000), caller["id"], *fields], canonical=True)
    signature = key.sign(b"countersign-tee-request-1\n" + (body if signed else b"another"))
    attached = cbor2.dumps({"rows": [list(r) for r in rows]} if rows else {}, canonical=True)
    try:
        raw = channel.unary_unary("/countersign.v1.TeeCore/Call")(
            field(1, cbor2.dumps([body, signature, []], canonical=True)) + field(3, attached), timeout=timeout)
    except grpc.RpcError as e:
        return [dict(e.trailing_metadata() or ()).get("countersign-code", e.code().name)]
    shift = length = at = 0
    while True:  # field 1: one length, then the bytes
        at += 1
        length |= (raw[at] & 0x7f) << shift
        shift += 7
        if raw[at] < 0x80:
            return cbor2.loads(raw[at + 1:at + 1 + length])


def fault(**order):
    path = f"{emulator}/kms-fault.json"
    if not order:
        os.unlink(path)
        return
    with open(path + ".new", "w") as f:
        json.dump(order, f)
    os.rename(path + ".new", path)


def verifies(public, digest, signature):
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), public)
    der = utils.encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    try:
        point.verify(der, digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
        return True
    except InvalidSignature:
        return False


made = call(GENERATE, "wallet-1", 1)
check("generate", made[0] == "OK" and len(made[3]) == 1, made[0])
if made[0] != "OK":
    sys.exit(1)
row, public = made[3][0], cbor2.loads(made[2])[0]
digest = hashlib.sha256(b"transfer").digest()


def sign(**kw):
    return call(SIGN, "wallet-1", 1, 0, digest, rows=[row], **kw)


first = sign()
check("sign", first[0] == "OK" and verifies(public, digest, cbor2.loads(first[2])[0]), first[0])
check("other-signature-of-the-caller", sign(signed=False)[0] == "CALLER_AUTH")
for name, codes in (("throttle", ["KMS_THROTTLED"]), ("deny", ["KMS_DENIED"]), ("internal", ["KMS_UNAVAILABLE"]), ("down", ["CLOSED", "KMS_UNAVAILABLE"]),
                    ("no-json", ["KMS_ANSWER"]), ("empty", ["KMS_ANSWER"]), ("foreign-key", ["KMS_KEY_ID"]), ("forged", ["SEAL_OPEN"]),
                    ("garbled", ["CMS", "SEAL_OPEN"]), ("other-recipient", ["CMS", "CMS_KEY"]), ("plaintext", ["KMS_PLAINTEXT"]), ("both", ["KMS_PLAINTEXT"])):
    fault(fault=name)
    got = sign()
    new = call(GENERATE, "wallet-2", 1)
    fault()
    check(f"{name}-is-named", got[0] in codes and got[2:3] in ([], [b""]), got[0])
    # what a forged envelope around a new data key sealed would never open: it is refused at once
    check(f"{name}-new-key", new[0] in (["KMS_ANSWER"] if name == "forged" else codes), new[0])
    again = sign()
    check(f"{name}-passes", again[0] == "OK" and again[2] == first[2], again[0])
fault(fault="throttle", times=2)
check("two-throttles-are-overcome", sign()[2] == first[2])
fault(fault="slow", milliseconds=1500)
began, got = time.time(), []
threads = [threading.Thread(target=lambda: got.append(sign())) for _ in range(8)]
for t in threads:
    t.start()
for t in threads:
    t.join()
took = time.time() - began
check("slow-calls-side-by-side", len(got) == 8 and all(g[0] == "OK" and g[2] == first[2] for g in got) and took < 8 * 1.5, (took, [g[0] for g in got]))
began = time.time()
check("deadline-of-the-caller", sign(timeout=0.5)[0] in ("TEE_TIMEOUT", "DEADLINE_EXCEEDED") and time.time() - began < 1.5)
fault()
check("well-at-the-end", sign()[2] == first[2])
sys.exit(1 if failed else 0)
