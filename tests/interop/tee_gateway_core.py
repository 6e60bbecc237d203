"""A fake TEE core behind a fake sign-service, for tests of the gateway: gRPC's own Python server answers countersign.v1.TeeCore/Call. It
checks callers' signatures, makes keys (its "blob" is the key itself), signs, and keeps an audit chain. Not a test by itself."""
import concurrent.futures
import datetime
import hashlib
import os
import threading
import time

import cbor2
import grpc
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

NAMES = ["", "Sign", "Decrypt", "Seal", "Unseal", "Generate", "Import", "PublicKey", "Rotate", "Attest", "Stats"]
ALGS = ["data", "ecdsa-secp256k1", "ecdsa-p256", "ed25519", "schnorr-bip340"]
CURVES = {1: ec.SECP256K1(), 2: ec.SECP256R1()}
REQUEST, AUDIT = b"countersign-tee-request-1\n", b"countersign-audit-1\n"
LINK = b"countersign-audit-link-1\n"
ARN = "arn:aws:kms:eu-west-1:111122223333:key/fake"


# ---- protobuf by hand: the messages have bytes, text and numbers only

def varint(n):
    out = b""
    while n >= 0x80:
        out += bytes([n & 0x7f | 0x80])
        n >>= 7
    return out + bytes([n])


def field(number, value):
    if isinstance(value, (bytes, str)):
        value = value.encode() if isinstance(value, str) else value
        return varint(number << 3 | 2) + varint(len(value)) + value if value else b""
    return varint(number << 3) + varint(int(value)) if value else b""


def fields(data):
    """number -> list of values"""
    out, i = {}, 0

    def number():
        nonlocal i
        n = shift = 0
        while True:
            b = data[i]
            i += 1
            n |= (b & 0x7f) << shift
            shift += 7
            if b < 0x80:
                return n
    while i < len(data):
        tag = number()
        if tag & 7 == 0:
            value = number()
        else:
            n = number()
            value = data[i:i + n]
            i += n
        out.setdefault(tag >> 3, []).append(value)
    return out


# ---- keys

def raw(signature):
    r, s = utils.decode_dss_signature(signature)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def make_key(alg):
    if alg == 3:
        k = ed25519.Ed25519PrivateKey.generate()
        return k.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()), k.public_key().public_bytes(
            Encoding.Raw, PublicFormat.Raw)
    k = ec.generate_private_key(CURVES[alg])
    return k.private_numbers().private_value.to_bytes(32, "big"), k.public_key().public_bytes(
        Encoding.X962, PublicFormat.CompressedPoint)


def sign_with(alg, secret, kind, payload):
    if alg == 3:
        return ed25519.Ed25519PrivateKey.from_private_bytes(secret).sign(payload)
    k = ec.derive_private_key(int.from_bytes(secret, "big"), CURVES[alg])
    how = ec.ECDSA(utils.Prehashed(hashes.SHA256()) if kind == 0 else hashes.SHA256())
    return raw(k.sign(payload, how))


def verify(alg, public, kind, payload, signature):
    try:
        if alg == 3:
            ed25519.Ed25519PublicKey.from_public_bytes(public).verify(signature, payload)
        else:
            k = ec.EllipticCurvePublicKey.from_encoded_point(CURVES[alg], public)
            der = utils.encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
            k.verify(der, payload, ec.ECDSA(utils.Prehashed(hashes.SHA256()) if kind == 0 else hashes.SHA256()))
        return True
    except (InvalidSignature, ValueError):
        return False


class Caller:
    def __init__(self, name):
        self.name = name
        self.key = ed25519.Ed25519PrivateKey.generate()

    def body(self, op, args, request_id=None, at=None):
        return cbor2.dumps([1, NAMES.index(op), request_id or os.urandom(16), at or int(time.time() * 1000), self.name, *args])

    def call(self, body):
        return cbor2.dumps([body, self.key.sign(REQUEST + body), []])


class Nsm:
    """an attestation root of its own, and documents (COSE_Sign1 with ES384) as the NSM makes them"""

    def __init__(self):
        now = datetime.datetime.utcnow() - datetime.timedelta(hours=1)
        self.root_key, self.leaf_key = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fake root")])

        def certificate(subject, key, ca):
            usage = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign",
                                   "encipher_only", "decipher_only"), False)
            return (x509.CertificateBuilder().subject_name(subject).issuer_name(name).public_key(key.public_key())
                    .serial_number(x509.random_serial_number()).not_valid_before(now)
                    .not_valid_after(now + datetime.timedelta(hours=5))
                    .add_extension(x509.BasicConstraints(ca, 1 if ca else None), True)
                    .add_extension(x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, **usage), True)
                    .sign(self.root_key, hashes.SHA384()))
        self.root = certificate(name, self.root_key, True)
        self.leaf = certificate(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "i-0.enc0")]), self.leaf_key, False)
        self.pcrs = [i.to_bytes(48, "big") for i in (1, 2, 3)]

    def pem(self):
        return self.root.public_bytes(Encoding.PEM)

    def document(self, nonce, user_data):
        der = [c.public_bytes(Encoding.DER) for c in (self.root, self.leaf)]
        payload = cbor2.dumps({"module_id": "i-0123456789abcdef0-enc0123456789abcdef", "digest": "SHA384",
                               "timestamp": int(time.time() * 1000), "pcrs": {i: v for i, v in enumerate(self.pcrs + [bytes(48)] * 13)},
                               "certificate": der[1], "cabundle": [der[0]], "public_key": None, "user_data": user_data,
                               "nonce": nonce})
        protected = cbor2.dumps({1: -35})
        r, s = utils.decode_dss_signature(self.leaf_key.sign(
            cbor2.dumps(["Signature1", protected, b"", payload]), ec.ECDSA(hashes.SHA384())))
        return cbor2.dumps([protected, {}, payload, r.to_bytes(48, "big") + s.to_bytes(48, "big")])


class Core(grpc.GenericRpcHandler):
    """delay: seconds before an answer; fail: gRPC status to answer with; lie(reply) may change a reply, forge(entries) what Entries gives"""

    def __init__(self, callers):
        self.callers = {c.name: c.key.public_key() for c in callers}
        self.boot, self.counter, self.previous = os.urandom(16), 0, bytes(32)
        self.audit = ed25519.Ed25519PrivateKey.generate()
        self.calls, self.delay, self.fail, self.lie, self.attached = [], 0, None, None, []
        self.entries, self.asked, self.forge = [], [], None
        self.lock = threading.Lock()
        self.nsm = Nsm()

    def rows(self, attachments):
        return cbor2.loads(attachments).get("rows", [])

    def run(self, op, f, attachments):
        """code, result, rows, record"""
        rows = self.rows(attachments)
        record = f[0] if isinstance(f[0] if f else None, str) else ""
        if op in ("Sign", "PublicKey", "Unseal") and not rows:
            return "FORMAT", [], [], record
        if op == "Generate":
            secret, public = make_key(f[1])
            return "OK", [public], [[record, "OK", 1, ARN, b"data key", secret, f[1], public]], record
        if op == "Sign":
            row = rows[0]
            if row[6] != f[1]:
                return "ALGORITHM", [], [], record
            return "OK", [sign_with(f[1], row[5], f[2], f[3]), 0, row[7]], [], record
        if op == "PublicKey":
            return "OK", [rows[0][7], rows[0][6]], [], record
        if op == "Seal":
            return "OK", [f[1]], [[record, "OK", f[1], ARN, b"data key", b"sealed " + f[2], 0, b""]], record
        if op == "Unseal":
            return "OK", [rows[0][5], rows[0][2]], [], record
        if op == "Rotate":
            new = cbor2.loads(attachments).get("new", b"") or b"new key " + os.urandom(4)
            if not f[2] and "new" not in cbor2.loads(attachments):
                return "FORMAT", [], [], ""
            out, kms, dk = [], "", b""
            for i, r in enumerate(rows):
                out.append([r[0], "OK", r[2] + 1, ARN if i == 0 else "", new if i == 0 else b"", r[5], r[6], r[7]])
            return "OK", [len(out)], out, ""
        if op == "Attest":
            vouch = cbor2.dumps([1, "tee", bytes(32), self.audit.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw), self.boot])
            return "OK", [self.nsm.document(f[0], vouch)], [], ""
        if op == "Stats":
            return "OK", ["{}"], [], ""
        return "NOT_IMPLEMENTED", [], [], record

    def reply(self, call, attachments):
        body, signature, _ = cbor2.loads(call)
        _, op, rid, at, caller, *f = cbor2.loads(body)
        op = NAMES[op]
        known, code = op in ("PublicKey", "Attest", "Stats") and caller == "", None
        if not known:
            if caller not in self.callers:
                return cbor2.dumps(["CALLER_UNKNOWN", 0, b"", [], b"", b""])
            try:
                self.callers[caller].verify(signature, REQUEST + body)
            except InvalidSignature:
                return cbor2.dumps(["CALLER_AUTH", 0, b"", [], b"", b""])
        with self.lock:
            code, result, rows, record = self.run(op, f, attachments)
            sealed = 1 if code == "OK" and op in ("Unseal", "Decrypt") else 0
            result = cbor2.dumps(result) if code == "OK" else b""
            self.counter += 1
            entry = cbor2.dumps([1, self.counter, self.boot, self.previous, int(time.time() * 1000), rid,
                                 hashlib.sha256(body).digest(), caller, NAMES.index(op), record, code, bytes(32),
                                 hashlib.sha256(result).digest()])
            signature = self.audit.sign(hashlib.sha256(AUDIT + entry).digest())
            self.previous = hashlib.sha256(LINK + entry + signature).digest()
            self.entries.append([entry, signature])
        return cbor2.dumps([code, sealed, result, rows, entry, signature])

    def call(self, request, context):
        m = fields(request)
        call, attachments = m[1][0], m.get(3, [b"\xa0"])[0]
        self.calls.append(call)
        self.attached.append(attachments)
        if self.fail is not None:
            context.abort(self.fail, "of the fake")
        reply = self.reply(call, attachments)
        if self.delay:
            time.sleep(self.delay)
        if self.lie is not None:
            reply = self.lie(reply)
        return field(1, reply)

    def again(self, request, _):
        first = fields(request).get(1, [0])[0]
        self.asked.append(first)
        with self.lock:
            out = [list(e) for e in self.entries[max(first, 1) - 1:][:300]]
        return field(1, cbor2.dumps(self.forge(out) if self.forge is not None else out))

    def watch(self, request, context):
        yield b"\x08\x01"
        while context.is_active():
            time.sleep(0.1)

    def service(self, details):
        return {
            "/countersign.v1.TeeCore/Call": grpc.unary_unary_rpc_method_handler(self.call),
            "/countersign.v1.TeeCore/Entries": grpc.unary_unary_rpc_method_handler(self.again),
            "/grpc.health.v1.Health/Watch": grpc.unary_stream_rpc_method_handler(self.watch),
        }.get(details.method)


def serve(core, port=0):
    s = grpc.server(concurrent.futures.ThreadPoolExecutor(32), options=[("grpc.so_reuseport", 0)])
    s.add_generic_rpc_handlers((core,))
    bound = s.add_insecure_port(f"127.0.0.1:{port}")
    s.start()
    return s, bound
