"""tee_openssl.py PUBLIC-KEY(hex) SIGNATURE(hex) OUT: writes OUT.pub (DER, SubjectPublicKeyInfo) and OUT.sig (as openssl wants it) for `openssl pkeyutl`. The
kind is told by length: 32 bytes Ed25519, 33 with OUT ending in k1 or p256 ECDSA."""
import sys

public, signature, out = bytes.fromhex(sys.argv[1]), bytes.fromhex(sys.argv[2]), sys.argv[3]


def tlv(tag, *parts):
    body = b"".join(parts)
    assert len(body) < 128
    return bytes([tag, len(body)]) + body


def integer(b):
    b = b.lstrip(b"\0") or b"\0"
    return tlv(2, b"\0" + b if b[0] & 128 else b)


EC = bytes.fromhex("06072a8648ce3d0201")
CURVE = {"k1": bytes.fromhex("06052b8104000a"), "p256": bytes.fromhex("06082a8648ce3d030107")}
if len(public) == 32:
    algorithm, sig = tlv(0x30, bytes.fromhex("06032b6570")), signature
else:
    algorithm = tlv(0x30, EC, CURVE["k1" if out.endswith("k1") else "p256"])
    sig = tlv(0x30, integer(signature[:32]), integer(signature[32:]))
open(out + ".pub", "wb").write(tlv(0x30, algorithm, tlv(3, b"\0", public)))
open(out + ".sig", "wb").write(sig)
