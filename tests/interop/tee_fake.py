#!/usr/bin/env python3
"""A gateway and an enclave of the TEE service in Python (docs/formats/tee.md), written from the document only: a peer for the C client.

tee_fake.py FOLDER: serves gRPC countersign.v1.Tee/Call on a free port of loopback. In FOLDER it writes port, root.pem, alice.json, bob.json
(identities of callers) and stranger.json, and `audit`, the log as the gateway exports it. It obeys the file FOLDER/faults, one word a line,
read at each call: what it then does wrong. SIGHUP: the enclave restarts (new keys, new boot).
tee_fake.py FOLDER --log N: only writes the log of N entries of two boots, and its head into FOLDER/head.
With FOLDER/tls.pem and tls.key it speaks TLS; with FOLDER/tls-ca.pem it wants a client's certificate; with FOLDER/token it wants that bearer token.
"""
import base64
import concurrent.futures
import datetime
import hashlib
import hmac
import json
import os
import pathlib
import secrets
import signal
import sys
import threading
import time

import cbor2
import grpc
from cryptography import x509
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.x509.oid import NameOID

OPS = {1: "Sign", 2: "Decrypt", 3: "Seal", 4: "Unseal", 5: "Generate", 6: "Import", 7: "PublicKey", 8: "Rotate", 9: "Attest", 10: "Stats"}
NEED_CALLER = {1, 2, 3, 4, 5, 6, 8}
SECRET_IN, SECRET_OUT = {3, 6}, {2, 4}
K1, P256, ED25519, BIP340 = 1, 2, 3, 4
N_K1 = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
P_K1 = 2**256 - 2**32 - 977
G_K1 = (0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798, 0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# ---- protobuf, as much as is needed


def pb_fields(data):
    i = 0

    def varint():
        nonlocal i
        v = shift = 0
        while True:
            b = data[i]
            i += 1
            v |= (b & 127) << shift
            shift += 7
            if b < 128:
                return v

    while i < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            assert key & 7 == 2
            n = varint()
            yield key >> 3, data[i : i + n]
            i += n


def pb_bytes(field, data):
    out, n = bytes([field << 3 | 2]), len(data)
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n]) + data


# ---- HPKE base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305 (RFC 9180)

KEM, SUITE = b"KEM\0\x20", b"HPKE\0\x20\0\x01\0\x03"


def extract(suite, salt, label, ikm):
    return hmac.new(salt, b"HPKE-v1" + suite + label + ikm, hashlib.sha256).digest()


def expand(suite, prk, label, info, length):
    out, block, i = b"", b"", 1
    text = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    while len(out) < length:
        block = hmac.new(prk, block + text + bytes([i]), hashlib.sha256).digest()
        out += block
        i += 1
    return out[:length]


def hpke_key(dh, enc, pk, info):
    shared = expand(KEM, extract(KEM, b"", b"eae_prk", dh), b"shared_secret", enc + pk, 32)
    context = b"\0" + extract(SUITE, b"", b"psk_id_hash", b"") + extract(SUITE, b"", b"info_hash", info)
    secret = extract(SUITE, shared, b"secret", b"")
    return ChaCha20Poly1305(expand(SUITE, secret, b"key", context, 32)), expand(SUITE, secret, b"base_nonce", context, 12)


def raw(key):
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def raw_private(key):
    return key.private_bytes(serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())


def hpke_seal(pk, info, aad, plain):
    e = x25519.X25519PrivateKey.generate()
    enc = raw(e.public_key())
    aead, nonce = hpke_key(e.exchange(x25519.X25519PublicKey.from_public_bytes(pk)), enc, pk, info)
    return enc + aead.encrypt(nonce, plain, aad)


def hpke_open(sk, info, aad, sealed):
    aead, nonce = hpke_key(sk.exchange(x25519.X25519PublicKey.from_public_bytes(sealed[:32])), sealed[:32], raw(sk.public_key()), info)
    return aead.decrypt(nonce, sealed[32:], aad)


# ---- signatures


def add_k1(p, q):
    if p is None or q is None:
        return p or q
    if p[0] == q[0] and (p[1] + q[1]) % P_K1 == 0:
        return None
    m = (3 * p[0] * p[0] * pow(2 * p[1], -1, P_K1) if p == q else (q[1] - p[1]) * pow(q[0] - p[0], -1, P_K1)) % P_K1
    x = (m * m - p[0] - q[0]) % P_K1
    return x, (m * (p[0] - x) - p[1]) % P_K1


def mul_k1(k, p=G_K1):
    out = None
    while k:
        if k & 1:
            out = add_k1(out, p)
        p = add_k1(p, p)
        k >>= 1
    return out


def tagged(tag, data):
    t = sha256(tag)
    return sha256(t, t, data)


def bip340(key, message, aux):
    d = int.from_bytes(key, "big")
    p = mul_k1(d)
    d = d if p[1] % 2 == 0 else N_K1 - d
    px = p[0].to_bytes(32, "big")
    t = (d ^ int.from_bytes(tagged(b"BIP0340/aux", aux), "big")).to_bytes(32, "big")
    k = int.from_bytes(tagged(b"BIP0340/nonce", t + px + message), "big") % N_K1
    r = mul_k1(k)
    k = k if r[1] % 2 == 0 else N_K1 - k
    rx = r[0].to_bytes(32, "big")
    e = int.from_bytes(tagged(b"BIP0340/challenge", rx + px + message), "big") % N_K1
    return rx + ((k + e * d) % N_K1).to_bytes(32, "big")


def public_key(alg, key):
    if alg == ED25519:
        return raw(ed25519.Ed25519PrivateKey.from_private_bytes(key).public_key())
    curve = ec.SECP256R1() if alg == P256 else ec.SECP256K1()
    point = ec.derive_private_key(int.from_bytes(key, "big"), curve).public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    return point[1:] if alg == BIP340 else point


def sign(alg, key, is_message, payload, body):
    if alg == ED25519:
        return ed25519.Ed25519PrivateKey.from_private_bytes(key).sign(payload)
    if alg == BIP340:
        return bip340(key, payload, sha256(b"countersign-tee-aux-1\n", key, body))
    digest = sha256(payload) if is_message else payload
    curve = ec.SECP256R1() if alg == P256 else ec.SECP256K1()
    der = ec.derive_private_key(int.from_bytes(key, "big"), curve).sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    r, s = utils.decode_dss_signature(der)
    if alg == K1 and s > N_K1 // 2:
        s = N_K1 - s
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


# ---- attestation


class Attester:
    def __init__(self, folder):
        self.key = ec.generate_private_key(ec.SECP384R1())
        self.leaf_key = ec.generate_private_key(ec.SECP384R1())
        self.root = self.cert(self.key.public_key(), "root", True)
        self.leaf = self.cert(self.leaf_key.public_key(), "leaf", False)
        self.pcrs = {i: bytes([i + 1]) * 48 if i < 3 else bytes(48) for i in range(16)}
        (folder / "root.pem").write_bytes(self.root.public_bytes(serialization.Encoding.PEM))

    def cert(self, public, name, ca):
        now = datetime.datetime.now(datetime.timezone.utc)
        named = lambda n: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, n)])  # noqa: E731
        b = x509.CertificateBuilder().subject_name(named(name)).issuer_name(named("root")).public_key(public)
        b = b.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
        b = b.not_valid_after(now + datetime.timedelta(hours=3))
        b = b.add_extension(x509.BasicConstraints(ca, None), True)
        b = b.add_extension(x509.KeyUsage(not ca, False, False, False, False, ca, False, False, False), True)
        return b.sign(self.key, hashes.SHA384())

    def document(self, nonce, user_data):
        der = lambda c: c.public_bytes(serialization.Encoding.DER)  # noqa: E731
        payload = cbor2.dumps({"module_id": "i-fake-enc1", "digest": "SHA384", "timestamp": int(time.time() * 1000), "pcrs": self.pcrs,
                               "certificate": der(self.leaf), "cabundle": [der(self.root)], "public_key": None, "user_data": user_data,
                               "nonce": nonce})
        protected = cbor2.dumps({1: -35})
        r, s = utils.decode_dss_signature(self.leaf_key.sign(cbor2.dumps(["Signature1", protected, b"", payload]), ec.ECDSA(hashes.SHA384())))
        return cbor2.dumps([protected, {}, payload, r.to_bytes(48, "big") + s.to_bytes(48, "big")])


# ---- the enclave


class Refusal(Exception):
    pass


class Core:
    def __init__(self, folder, attester, callers):
        self.folder, self.attester, self.callers, self.ids, self.lock = folder, attester, callers, {}, threading.RLock()
        self.data_key = secrets.token_bytes(32)
        self.restart()

    def restart(self):
        with self.lock:
            self.request_key, self.audit_key = x25519.X25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()
            self.boot, self.counter, self.previous = secrets.token_bytes(16), 0, bytes(32)
            self.log_document()

    def vouch(self):
        return cbor2.dumps([1, "tee", raw(self.request_key.public_key()), raw(self.audit_key.public_key()), self.boot])

    def log_document(self):
        with open(self.folder / "audit", "a") as f:
            document = self.attester.document(b"audit-log-nonce-0001", self.vouch())
            f.write(json.dumps({"kind": "document", "document": base64.b64encode(document).decode()}) + "\n")

    @staticmethod
    def line(entry, signature):
        return json.dumps({"kind": "entry", "entry": base64.b64encode(entry).decode(), "signature": base64.b64encode(signature).decode()}) + "\n"

    def audit(self, op, caller, record, request_id, body, code, result, wrong):
        with self.lock:
            self.counter += 1
            pcrs = self.attester.pcrs
            entry = cbor2.dumps([1, self.counter, self.boot, self.previous, int(time.time() * 1000), request_id, sha256(body), caller, op, record,
                                 code, sha256(pcrs[0], pcrs[1], pcrs[2]), sha256(result)])
            signature = self.audit_key.sign(sha256(b"countersign-audit-1\n", entry))
            self.previous = sha256(b"countersign-audit-link-1\n", entry, signature)
            if self.folder:
                with open(self.folder / "audit", "a") as f:
                    f.write(self.line(entry, signature))
            if "entry-signature" in wrong:
                signature = bytes([signature[0] ^ 1]) + signature[1:]
            return entry, signature

    def call(self, data, sealed, attached, wrong):
        """The reply; rows to store are in it."""
        if sealed:
            try:
                data = hpke_open(self.request_key, b"countersign-tee-request-1", b"", data)
            except InvalidTag:
                return cbor2.dumps(["FORMAT", 0, b"", [], b"", b""])
        body, signature, approvals = cbor2.loads(data)
        version, op, request_id, at, caller, *fields = cbor2.loads(body)
        assert version == 1
        try:
            self.check_caller(op, request_id, at, caller, body, signature)
        except Refusal as e:
            return cbor2.dumps([str(e), 0, b"", [], b"", b""])
        record = fields[0] if fields and isinstance(fields[0], str) else ""
        code, result, rows = "OK", b"", []
        try:
            if op in SECRET_IN and not sealed:
                raise Refusal("REQUEST_CLEAR")
            if "approvals" in wrong and op in NEED_CALLER and not self.approved(caller, body, approvals):
                raise Refusal("APPROVALS")
            values, rows = getattr(self, "do_" + OPS[op])(fields, body, attached)
            result = cbor2.dumps(values)
        except Refusal as e:
            code = str(e)
        is_sealed = code == "OK" and (sealed or op in SECRET_OUT)
        if is_sealed:
            result = hpke_seal(self.callers[caller]["x25519"], b"countersign-tee-reply-1", request_id, result)
        entry, entry_signature = self.audit(op, caller, record, request_id, body, code, result, wrong)
        return cbor2.dumps([code, int(is_sealed), result, rows, entry, entry_signature])

    def check_caller(self, op, request_id, at, caller, body, signature):
        if caller == "" and op not in NEED_CALLER:
            return
        if caller not in self.callers:
            raise Refusal("CALLER_UNKNOWN")
        try:
            ed25519.Ed25519PublicKey.from_public_bytes(self.callers[caller]["ed25519"]).verify(signature, b"countersign-tee-request-1\n" + body)
        except InvalidSignature:
            raise Refusal("CALLER_AUTH") from None
        if abs(time.time() * 1000 - at) > 60000:
            raise Refusal("REQUEST_TIME")
        if self.ids.setdefault((caller, request_id), body) != body:
            raise Refusal("REQUEST_REPLAY")

    def approved(self, caller, body, approvals):
        ok = set()
        for who, signature in approvals:
            try:
                ed25519.Ed25519PublicKey.from_public_bytes(self.callers[who]["ed25519"]).verify(signature, b"countersign-tee-approval-1\n" + body)
                ok.add(who)
            except (InvalidSignature, KeyError):
                pass
        return len(ok - {caller}) >= 1

    # blobs: enough of an envelope for a test of the client
    def seal(self, record, alg, version, plain, public=b""):
        nonce = secrets.token_bytes(12)
        blob = nonce + AESGCM(self.data_key).encrypt(nonce, plain, f"{record}|{alg}|{version}".encode())
        return [record, "OK", version, "arn:aws:kms:fake", b"wrapped", blob, alg, public]

    def open(self, row):
        record, _, version, _, _, blob, alg, _ = row
        try:
            return AESGCM(self.data_key).decrypt(blob[:12], blob[12:], f"{record}|{alg}|{version}".encode())
        except InvalidTag:
            raise Refusal("SEAL_OPEN") from None

    def row(self, attached, record):
        rows = [r for r in attached.get("rows", []) if r[0] == record]
        if not rows:
            raise Refusal("NOT_FOUND")
        return rows[0]

    def do_Sign(self, f, body, attached):
        row = self.row(attached, f[0])
        if row[6] != f[1]:
            raise Refusal("ALGORITHM")
        key = self.open(row)
        return [sign(f[1], key, f[2] == 1, f[3], body), 0, public_key(f[1], key)], []

    def do_Decrypt(self, f, body, attached):
        try:
            return [AESGCM(attached["data_key"][:32]).decrypt(f[2][:12], f[2][12:], f[1])], []
        except InvalidTag:
            raise Refusal("SEAL_OPEN") from None

    def do_Seal(self, f, body, attached):
        return [f[1]], [self.seal(f[0], 0, f[1], f[2])]

    def do_Unseal(self, f, body, attached):
        row = self.row(attached, f[0])
        if f[1] not in (0, row[2]):
            raise Refusal("SEAL_VERSION")
        return [self.open(row), row[2]], []

    def new_key(self, record, alg, key):
        public = public_key(alg, key)
        return [public], [self.seal(record, alg, 1, key, public)]

    def do_Generate(self, f, body, attached):
        return self.new_key(f[0], f[1], secrets.token_bytes(32))

    def do_Import(self, f, body, attached):
        return self.new_key(f[0], f[1], f[2])

    def do_PublicKey(self, f, body, attached):
        row = self.row(attached, f[0])
        return [row[7], row[6]], []

    def do_Rotate(self, f, body, attached):
        rows = []
        for record in f[0]:
            try:
                row = self.row(attached, record)
                rows.append(self.seal(record, row[6], row[2] + 1, self.open(row), row[7]))
            except Refusal as e:
                rows.append([record, str(e), 0, "", b"", b"", 0, b""])
        return [sum(r[1] == "OK" for r in rows)], rows

    def do_Attest(self, f, body, attached):
        return [self.attester.document(f[0], self.vouch())], []

    def do_Stats(self, f, body, attached):
        return [json.dumps({"counter": self.counter})], []


# ---- the gateway


class Gateway:
    def __init__(self, folder, core):
        self.folder, self.core, self.rows, self.answers, self.lock, self.calls = folder, core, {}, {}, threading.Lock(), 0

    def faults(self):
        try:
            return set((self.folder / "faults").read_text().split())
        except FileNotFoundError:
            return set()

    def once(self, word):
        """A fault that happens once."""
        path = self.folder / "faults"
        words = path.read_text().split()
        words.remove(word)
        path.write_text("\n".join(words))

    def refuse(self, context, code, status):
        context.set_trailing_metadata((("countersign-code", code),))
        context.abort(status, f"{code}: refused")

    def call(self, request, context):
        wrong = self.faults()
        token = self.folder / "token"
        if token.exists() and dict(context.invocation_metadata()).get("authorization") != "Bearer " + token.read_text():
            self.refuse(context, "TOKEN", grpc.StatusCode.UNAUTHENTICATED)
        m = {"records": []}
        for field, value in pb_fields(request):
            name = {1: "call", 2: "sealed", 3: "operation", 4: "records", 5: "caller", 6: "id", 7: "data_key", 8: "kms_key"}[field]
            if name == "records":
                m["records"].append(value.decode())
            else:
                m[name] = value
        operation = m.get("operation", b"").decode()
        with self.lock:
            self.calls += 1
            with open(self.folder / "calls", "a") as f:
                f.write(f"{operation} {m['id'].hex()} {sha256(m['call']).hex()[:16]}\n")
        if operation != "Attest":
            self.misbehave(wrong, context)
        return self.answer(m, operation, wrong, context)

    def misbehave(self, wrong, context):
        for word, code, status in (("busy-once", "TEE_BUSY", grpc.StatusCode.RESOURCE_EXHAUSTED), ("busy", "TEE_BUSY", grpc.StatusCode.RESOURCE_EXHAUSTED),
                                   ("denied", "KMS_DENIED", grpc.StatusCode.PERMISSION_DENIED)):
            if word in wrong:
                if word.endswith("-once"):
                    self.once(word)
                self.refuse(context, code, status)
        if "slow" in wrong:
            time.sleep(30)

    def answer(self, m, operation, wrong, context):
        key, digest = (m.get("caller", b""), m["id"]), sha256(m["call"])
        with self.lock:
            if key in self.answers and self.answers[key][0] != digest:
                self.refuse(context, "REQUEST_REPLAY", grpc.StatusCode.ALREADY_EXISTS)
            if key in self.answers and "forget" not in wrong:
                return pb_bytes(1, self.answers[key][1])
            attached = {"rows": [self.rows[r] for r in m["records"] if r in self.rows]}
            if "data_key" in m:
                attached |= {"data_key": m["data_key"], "kms_key": m["kms_key"].decode()}
            if operation in ("Generate", "Import") and m["records"][0] in self.rows:
                self.refuse(context, "EXISTS", grpc.StatusCode.ALREADY_EXISTS)
            reply = self.store(self.core.call(m["call"], m.get("sealed", 0) == 1, attached, wrong))
            code = cbor2.loads(reply)[0]
            self.answers[key] = (digest, reply)
            if "lost-once" in wrong and operation != "Attest":
                self.once("lost-once")
                context.abort(grpc.StatusCode.UNAVAILABLE, "lost")
        return pb_bytes(1, self.lie(reply, wrong, operation, code))

    def store(self, reply):
        code, sealed, result, rows, entry, signature = cbor2.loads(reply)
        for row in rows:
            if row[1] == "OK":
                self.rows[row[0]] = row
        short = [[r[0], r[1], r[2], "", b"", b"", r[6], b""] for r in rows]
        return cbor2.dumps([code, sealed, result, short, entry, signature])

    def lie(self, reply, wrong, operation, code):
        code, sealed, result, rows, entry, signature = cbor2.loads(reply)
        if operation == "Attest":
            return reply
        if "result" in wrong and code == "OK":
            result = result[:-1] + bytes([result[-1] ^ 1])
        if "no-entry" in wrong:
            entry = signature = b""
        if "code" in wrong:
            code, result, sealed = "SEAL_OPEN", b"", 0
        if "old-entry" in wrong and getattr(self, "old", None):
            entry, signature = self.old
        self.old = (entry, signature)
        if "garbage" in wrong:
            return b"garbage"
        return cbor2.dumps([code, sealed, result, rows, entry, signature])


def identity(folder, name):
    seed, secret = ed25519.Ed25519PrivateKey.generate(), x25519.X25519PrivateKey.generate()
    path = folder / f"{name}.json"
    path.touch(0o600)
    members = {"id": name, "ed25519_seed": raw_private(seed).hex(), "x25519_secret": raw_private(secret).hex()}
    path.write_text(json.dumps(members))
    return {"ed25519": raw(seed.public_key()), "x25519": raw(secret.public_key())}


def write_log(folder, core, count):
    log, core.folder = open(folder / "audit.tmp", "w"), None
    for boot in range(2):
        if boot == 1:
            core.folder = folder
            log.flush()
            os.rename(folder / "audit.tmp", folder / "audit.whole")
            (folder / "audit").write_text("")
            core.restart()
            log.write((folder / "audit").read_text())
            core.folder = None
        else:
            log.write((folder / "audit").read_text())
        for i in range(count // 2):
            body = cbor2.dumps([1, 1, i])
            entry, signature = core.audit(1, "alice", f"wallet-{i % 100}", sha256(body)[:16], body, "OK", b"result", ())
            log.write(core.line(entry, signature))
        head = f"{core.counter}:{core.previous.hex()}"
    log.close()
    os.rename(folder / "audit.whole", folder / "audit")
    (folder / "head").write_text(head)


def add_port(server, folder):
    if not (folder / "tls.pem").exists():
        return server.add_insecure_port("127.0.0.1:0")
    ca = folder / "tls-ca.pem"
    credentials = grpc.ssl_server_credentials([((folder / "tls.key").read_bytes(), (folder / "tls.pem").read_bytes())],
                                              ca.read_bytes() if ca.exists() else None, ca.exists())
    return server.add_secure_port("127.0.0.1:0", credentials)


def main():
    folder = pathlib.Path(sys.argv[1])
    callers = {name: identity(folder, name) for name in ("alice", "bob")}
    identity(folder, "stranger")
    core = Core(folder, Attester(folder), callers)
    if sys.argv[2:3] == ["--log"]:
        write_log(folder, core, int(sys.argv[3]))
        return
    gateway = Gateway(folder, core)
    signal.signal(signal.SIGHUP, lambda *_: core.restart())
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("countersign.v1.Tee", {"Call": grpc.unary_unary_rpc_method_handler(gateway.call)}),))
    port = add_port(server, folder)
    server.start()
    (folder / "port.tmp").write_text(str(port))
    os.rename(folder / "port.tmp", folder / "port")
    signal.signal(signal.SIGTERM, lambda *_: server.stop(0))
    server.wait_for_termination()


main()
