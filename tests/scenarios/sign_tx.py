"""Requests of the seed system's gRPC by python3-grpcio, the protobuf by hand: an array of them as JSON on standard input, sent all at once.
Each: {"to": [endpoint...], "account", "tx", "execution" (hex), "digest" (hex), "chain", "timeout"}. Prints an array of arrays of answers, in the
same order: {"r", "s", "v", "valid"} or {"status", "code"}. PUBLIC_KEYS: account=hex of its public key, separated by blanks; valid says that the
signature is low-s and that key's, and that v recovers it. Endpoints that name a service begin with gateway= or participant=."""
import json
import os
import sys

import grpc

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
     0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8)


def add(a, b):
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if (a[1] + b[1]) % P == 0:
            return None
        m = 3 * a[0] * a[0] * pow(2 * a[1], -1, P)
    else:
        m = (b[1] - a[1]) * pow(b[0] - a[0], -1, P)
    x = (m * m - a[0] - b[0]) % P
    return x, (m * (a[0] - x) - a[1]) % P


def mul(k, p):
    out = None
    while k:
        out = add(out, p) if k & 1 else out
        p = add(p, p)
        k >>= 1
    return out


def lift(x, odd):
    y = pow((x * x * x + 7) % P, (P + 1) // 4, P)
    return x, y if y % 2 == odd else P - y


def valid(key, digest, r, s, v):
    if not (0 < r < N and 0 < s <= N // 2 and 0 <= v <= 3):
        return False
    point = lift(r + (N if v & 2 else 0), v & 1)
    i = pow(r, -1, N)
    q = add(mul(s * i % N, point), mul(-int.from_bytes(digest, "big") * i % N, G))
    return q is not None and bytes([2 + q[1] % 2]) + q[0].to_bytes(32, "big") == key


def varint(n):
    out = b""
    n &= 2**64 - 1
    while n >= 0x80:
        out += bytes([n & 0x7f | 0x80])
        n >>= 7
    return out + bytes([n])


def message(q):
    def field(number, b):
        return varint(number << 3 | 2) + varint(len(b)) + b
    return (b"\x08" + varint(q["tx"]) + field(2, bytes.fromhex(q["execution"])) + b"\x18" + varint(q.get("chain", 0)) +
            field(4, bytes.fromhex(q["digest"])) + field(5, q["account"].encode()))


def read(b):
    out, at = {}, 0

    def number():
        nonlocal at
        v = shift = 0
        while True:
            c = b[at]
            at += 1
            v |= (c & 0x7f) << shift
            shift += 7
            if c < 0x80:
                return v
    while at < len(b):
        tag = number()
        n = number()
        if tag & 7 == 0:
            out[tag >> 3] = n
        else:
            out[tag >> 3] = b[at:at + n]
            at += n
    return out


def answer(q, future):
    try:
        m = read(future.result())
    except grpc.RpcError as e:
        trailers = dict(e.trailing_metadata() or ())
        return {"status": e.code().name, "code": trailers.get("countersign-code"), "details": e.details()}
    r, s, v = m.get(1, b""), m.get(2, b""), m.get(3, 0)
    key = dict(x.split("=") for x in os.environ.get("PUBLIC_KEYS", "").split()).get(q["account"], "")
    ok = len(r) == len(s) == 32 and valid(bytes.fromhex(key), bytes.fromhex(q["digest"]), int.from_bytes(r, "big"), int.from_bytes(s, "big"), v)
    return {"r": r.hex(), "s": s.hex(), "v": v, "valid": ok}


METHODS = {"gateway": "/mpc.SignGateway/SignTx", "participant": "/mpc.Participant/SignTx"}
channels = {}


def call(to, q):
    kind, endpoint = to.split("=")
    if endpoint not in channels:
        channels[endpoint] = grpc.insecure_channel(endpoint, (("grpc.enable_http_proxy", 0),))
    return channels[endpoint].unary_unary(METHODS[kind]).future(message(q), timeout=q.get("timeout", 20), wait_for_ready=q.get("wait", False))


requests = json.load(sys.stdin)
futures = [[call(to, q) for to in q["to"]] for q in requests]
print(json.dumps([[answer(q, f) for f in row] for q, row in zip(requests, futures)]))
