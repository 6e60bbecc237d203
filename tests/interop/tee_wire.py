#!/usr/bin/python3
"""Messages of the TEE service made anew with cbor2, cryptography and Python's own hashes, compared byte by byte with
tests/interop/tee_wire.txt, which the unit test tee_rpc makes and reads with our codec. Prints `ok NAME`, `not ok NAME` or `skip
NAME`. --write prints the file."""
import hashlib
import os
import struct
import sys

try:
    import cbor2
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
    from cryptography.hazmat.primitives.hmac import HMAC
except ImportError as e:
    print(f"skip tee_wire ({e.name}: python3-cbor2, python3-cryptography)")
    sys.exit(77)

HERE = os.path.dirname(os.path.abspath(__file__))
ID = bytes(range(16))
TIME = 1767225600000
CALLER, APPROVER, RECORD = "backend-1", "approver-1", "wallet-7"
ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
PUBLIC33, PUBLIC32, SIG = b"\x02" + bytes(range(32)), bytes(range(32)), bytes(range(64))
RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def cbor(value):
    return cbor2.dumps(value, canonical=True)


def body(op, *fields, caller=CALLER):
    return cbor([1, op, ID, TIME, caller, *fields])


def sign(first, label, message):
    """Ed25519 by the key whose seed is first, first + 1, ..."""
    return Ed25519PrivateKey.from_private_bytes(bytes(range(first, first + 32))).sign(label + message)


def public(first):
    return Ed25519PrivateKey.from_private_bytes(bytes(range(first, first + 32))).public_key().public_bytes(*RAW)


def hpke_seal(ephemeral, receiver, info, aad, plain):
    """RFC 9180, base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305"""
    def extract(suite, salt, label, ikm):
        h = HMAC(salt or bytes(32), hashes.SHA256())
        h.update(b"HPKE-v1" + suite + label + ikm)
        return h.finalize()

    def expand(suite, prk, label, text, length):
        text = struct.pack(">H", length) + b"HPKE-v1" + suite + label + text
        return HKDFExpand(hashes.SHA256(), length, text).derive(prk)

    kem, suite = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x03"
    key = X25519PrivateKey.from_private_bytes(ephemeral)
    enc = key.public_key().public_bytes(*RAW)
    eae = extract(kem, b"", b"eae_prk", key.exchange(X25519PublicKey.from_public_bytes(receiver)))
    shared = expand(kem, eae, b"shared_secret", enc + receiver, 32)
    context = b"\0" + extract(suite, b"", b"psk_id_hash", b"") + extract(suite, b"", b"info_hash", info)
    secret = extract(suite, shared, b"secret", b"")
    cipher = ChaCha20Poly1305(expand(suite, secret, b"key", context, 32))
    return enc + cipher.encrypt(expand(suite, secret, b"base_nonce", context, 12), plain, aad)


def envelope():
    """Sealing root 00..1f, data key 40..5f, nonce a0..ab, private key 80..9f"""
    root, data_key, nonce = bytes(range(32)), bytes(range(64, 96)), bytes(range(160, 172))
    head = b"\x01" + hashlib.sha256(b"countersign-root-1" + root).digest()[:4] + b"\x01" + struct.pack(">I", 1)
    key = HKDF(hashes.SHA256(), 32, root, b"countersign-seal-1" + RECORD.encode()).derive(data_key)
    names = b"".join(struct.pack(">H", len(s)) + s.encode() for s in (ARN, RECORD))
    aad = b"countersign-envelope-1\n" + head + names + b"\x01"
    return head + nonce + AESGCM(key).encrypt(nonce, bytes(range(128, 160)), aad)


def rows():
    return [[RECORD, "OK", 1, ARN, b"data key", envelope(), 1, PUBLIC33], ["note", "OK", 3, "", b"", bytes(38), 0, b""]]


def messages():
    digest = bytes(range(32))
    m = {
        "request sign": body(1, RECORD, 1, 0, digest),
        "request sign-message": body(1, RECORD, 3, 1, b"pay 3 to wallet-8"),
        "request decrypt": body(2, RECORD, b"context", bytes(33)),
        "request seal": body(3, RECORD, 2, b"some data"),
        "request unseal": body(4, RECORD, 0),
        "request generate": body(5, RECORD, 2),
        "request import": body(6, RECORD, 4, bytes(range(1, 33))),
        "request public-key": body(7, RECORD, caller=""),
        "request rotate": body(8, [RECORD, "wallet-8"], "", 1),
        "request rotate-to": body(8, [RECORD], ARN, 0),
        "request attest": body(9, digest, caller=""),
        "request stats": body(10, caller=""),
        "attached none": cbor({}),
        "attached all": cbor({"data_key": b"d", "kms_key": ARN, "new": b"n", "rows": rows()}),
        "attached seal": cbor({"data_key": b"d", "kms_key": ARN}),
        "result 1": cbor([SIG, 1, PUBLIC33]),
        "result 2": cbor([b"plain"]),
        "result 3": cbor([2]),
        "result 4": cbor([b"plain", 4294967295]),
        "result 5": cbor([PUBLIC33]),
        "result 6": cbor([PUBLIC32]),
        "result 7": cbor([PUBLIC32, 4]),
        "result 8": cbor([256]),
        "result 9": cbor([b"document"]),
        "result 10": cbor(['{"calls":0}']),
        "vouch core": cbor([1, "tee", PUBLIC32, digest, ID]),
    }
    request = m["request sign"]
    m["sig request"] = sign(0, b"countersign-tee-request-1\n", request)
    m["sig approval"] = sign(32, b"countersign-tee-approval-1\n", request)
    m["call sign"] = cbor([request, m["sig request"], [[APPROVER, m["sig approval"]]]])
    m["call nobody"] = cbor([m["request stats"], b"", []])
    entry = cbor([1, 7, ID, bytes(32), TIME, ID, hashlib.sha256(request).digest(), CALLER, 1, RECORD, "OK", digest,
                  hashlib.sha256(m["result 1"]).digest()])
    m["entry sign"] = entry
    m["sig entry"] = sign(64, b"", hashlib.sha256(b"countersign-audit-1\n" + entry).digest())
    m["hash entry"] = hashlib.sha256(b"countersign-audit-link-1\n" + entry + m["sig entry"]).digest()
    m["reply sign"] = cbor(["OK", 0, m["result 1"], [], entry, m["sig entry"]])
    m["reply rows"] = cbor(["OK", 1, bytes(60), rows(), entry, m["sig entry"]])
    m["reply refusal"] = cbor(["CALLER_AUTH", 0, b"", [], b"", b""])
    receiver = X25519PrivateKey.from_private_bytes(bytes(range(96, 128))).public_key().public_bytes(*RAW)
    ephemeral = bytes(range(160, 192))
    m["sealed call"] = hpke_seal(ephemeral, receiver, b"countersign-tee-request-1", b"", m["call sign"])
    m["sealed result"] = hpke_seal(ephemeral, receiver, b"countersign-tee-reply-1", ID, m["result 1"])
    return m


HEAD = """# Messages of the TEE service (docs/formats/tee.md) in hex: KIND NAME BYTES. Made by tests/interop/tee_wire.py --write with cbor2; the
# unit test tee_rpc makes and reads the same ones. Ed25519 seeds: caller 00..1f, approver 20..3f, core's audit key 40..5f. HPKE: the
# receiver's private key 60..7f, the ephemeral one a0..bf. Envelope: sealing root 00..1f, data key 40..5f, private key 80..9f.
"""


def main():
    made = {name: data.hex() for name, data in messages().items()}
    if sys.argv[1:] == ["--write"]:
        sys.stdout.write(HEAD + "".join(f"{name} {data}\n" for name, data in made.items()))
        return 0
    with open(os.path.join(HERE, "tee_wire.txt"), encoding="ascii") as f:
        kept = dict(line.rstrip("\n").rsplit(" ", 1) for line in f if not line.startswith("#"))
    bad = 0
    for name in sorted(set(made) | set(kept)):
        same = made.get(name) == kept.get(name)
        print(("ok " if same else "not ok ") + name.replace(" ", "-"))
        bad += not same
    with open(os.path.join(HERE, "../../docs/formats/tee.md"), encoding="utf-8") as f:
        page = "".join(f.read().split())
    same = all(data in page for data in (made["request sign"], made["sig request"], envelope().hex(), public(0).hex()))
    print(("ok " if same else "not ok ") + "examples-of-the-page")
    bad += not same
    return 1 if bad else 0


sys.exit(main())
