#!/usr/bin/python3
"""signctl tee against a gateway and an enclave in Python (tee_fake.py): every operation, signatures verified by another implementation, retries of
the same bytes, lies of the gateway refused, attestation on connect and after a restart, approvals, TLS, tokens."""
import hashlib
import json
import os
import pathlib
import secrets
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
SIGNCTL = os.path.join(os.environ.get("COUNTERSIGN_BIN", HERE.parents[1] / "build/bin"), "signctl")
try:
    import cbor2  # noqa: F401
    import grpc  # noqa: F401
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError as e:
    print(f"skip tee_client ({e.name}: python3-cbor2, python3-cryptography, python3-grpcio)")
    sys.exit(77)

failed = False


def check(name, ok, detail=""):
    global failed
    failed = failed or not ok
    print(f"ok {name}" if ok else f"not ok {name} ({detail})", flush=True)


class Fake:
    """The peer, and signctl against it."""

    def __init__(self, prepare=lambda folder: None):
        self.dir = tempfile.TemporaryDirectory(prefix="cs-tee-client.")
        self.folder = pathlib.Path(self.dir.name)
        prepare(self.folder)
        self.log = open(self.folder / "log", "w")
        self.process = subprocess.Popen([sys.executable, HERE / "tee_fake.py", self.folder], stdout=self.log, stderr=self.log)
        for _ in range(400):
            if (self.folder / "port").exists():
                break
            time.sleep(0.05)
        self.port = (self.folder / "port").read_text()
        self.options = ["-g", f"tcp:127.0.0.1:{self.port}", "--root", self.folder / "root.pem", "--allowed",
                        ":".join(f"{b:02x}" * 48 for b in (1, 2, 3))]

    def close(self):
        self.process.kill()
        self.process.wait()
        self.log.close()
        self.dir.cleanup()

    def run(self, command, *args, caller="alice", stdin=b"", options=None, json_out=True):
        argv = [SIGNCTL, "tee", command, *args, *(self.options if options is None else options)]
        argv += ["-i", self.folder / f"{caller}.json"] if caller else []
        argv += ["--json"] if json_out else []
        out = subprocess.run(argv, input=stdin, capture_output=True, timeout=60)
        if not json_out:
            return out.returncode, out.stdout
        try:
            return out.returncode, json.loads(out.stdout)
        except ValueError:
            return out.returncode, {"code": out.stderr.decode(), "stdout": out.stdout}

    def code(self, *args, **more):
        status, out = self.run(*args, **more)
        return out.get("code") if status else "OK"

    def faults(self, *words):
        (self.folder / "faults").write_text("\n".join(words))

    def calls(self):
        """(operation, id, hash of the bytes) of all calls"""
        return [line.split() for line in (self.folder / "calls").read_text().splitlines()]

    def calls_of(self, operation):
        return [c for c in self.calls() if c[0] == operation]


# ---- signatures by cryptography, BIP-340 by the fake's own arithmetic


def verified(algorithm, public, signature, message):
    public, signature = bytes.fromhex(public), bytes.fromhex(signature)
    try:
        if algorithm == "ed25519":
            ed25519.Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        elif algorithm == "schnorr-bip340":
            return bip340_verified(public, signature, message)
        else:
            curve = ec.SECP256K1() if algorithm == "ecdsa-secp256k1" else ec.SECP256R1()
            der = utils.encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
            ec.EllipticCurvePublicKey.from_encoded_point(curve, public).verify(der, message, ec.ECDSA(hashes.SHA256()))
        return True
    except InvalidSignature:
        return False


def bip340_verified(public, signature, message):
    p = 2**256 - 2**32 - 977
    n = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    g = (0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798, 0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8)

    def add(a, b):
        if a is None or b is None:
            return a or b
        if a[0] == b[0] and (a[1] + b[1]) % p == 0:
            return None
        m = (3 * a[0] * a[0] * pow(2 * a[1], -1, p) if a == b else (b[1] - a[1]) * pow(b[0] - a[0], -1, p)) % p
        x = (m * m - a[0] - b[0]) % p
        return x, (m * (a[0] - x) - a[1]) % p

    def mul(k, a):
        out = None
        while k:
            out = add(out, a) if k & 1 else out
            a, k = add(a, a), k >> 1
        return out

    x = int.from_bytes(public, "big")
    y = pow(pow(x, 3, p) + 7, (p + 1) // 4, p)
    point = (x, y if y % 2 == 0 else p - y)
    t = hashlib.sha256(b"BIP0340/challenge").digest()
    e = int.from_bytes(hashlib.sha256(t + t + signature[:32] + public + message).digest(), "big") % n
    r = add(mul(int.from_bytes(signature[32:], "big"), g), mul(n - e, point))
    return r is not None and r[1] % 2 == 0 and r[0] == int.from_bytes(signature[:32], "big")


# ---- tests

ALGORITHMS = ("ecdsa-secp256k1", "ecdsa-p256", "ed25519", "schnorr-bip340")


def test_operations(fake):
    message = b"message of any length"
    path = fake.folder / "message"
    path.write_bytes(message)
    for algorithm in ALGORITHMS:
        status, key = fake.run("generate", algorithm, "-a", algorithm)
        again = fake.code("generate", algorithm, "-a", algorithm)
        check(f"generate-{algorithm}", status == 0 and again == "EXISTS", (key, again))
        _, public = fake.run("public-key", algorithm, caller=None)
        check(f"public-key-{algorithm}", public.get("public_key") == key.get("public_key") and public.get("algorithm") == algorithm, public)
        status, sig = fake.run("sign", algorithm, "-a", algorithm, "--message", path)
        check(f"sign-{algorithm}", status == 0 and verified(algorithm, key["public_key"], sig["signature"], message), sig)
        status, sig = fake.run("sign", algorithm, "-a", algorithm, "--message", path, "--seal-all")
        check(f"sign-sealed-{algorithm}", status == 0 and verified(algorithm, key["public_key"], sig["signature"], message), sig)
    digest = hashlib.sha256(message).hexdigest()
    status, sig = fake.run("sign", "ecdsa-p256", "-a", "ecdsa-p256", "--digest", digest)
    _, public = fake.run("public-key", "ecdsa-p256", caller=None)
    check("sign-digest", status == 0 and verified("ecdsa-p256", public["public_key"], sig["signature"], message), sig)
    key = fake.folder / "private"
    key.write_text("%064x\n" % 1)
    _, out = fake.run("import", "imported", "-a", "ecdsa-secp256k1", "--private-key", key)
    check("import", out.get("public_key") == "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798", out)
    status, out = fake.run("import", "imported-2", "-a", "ed25519", "--private-key", "-", stdin=secrets.token_bytes(32))
    check("import-stdin", status == 0, out)


def test_data(fake):
    for size in (0, 1, 65536):
        plain = secrets.token_bytes(size)
        status, out = fake.run("seal", f"data-{size}", stdin=plain)
        back = fake.folder / "back"
        unsealed = fake.run("unseal", f"data-{size}", "-o", back)
        check(f"seal-{size}", status == 0 and unsealed[0] == 0 and back.read_bytes() == plain and back.stat().st_mode & 0o777 == 0o600, (out, unsealed))
    check("too-large", fake.code("seal", "x", stdin=bytes(65537)) == "TOO_LARGE")
    status, out = fake.run("unseal", "data-1", json_out=False)
    check("unseal-stdout", status == 0 and len(out) == 1)
    check("version", fake.code("unseal", "data-1", "--version", "2", "-o", back) == "SEAL_VERSION")
    key, nonce = secrets.token_bytes(32), secrets.token_bytes(12)
    (fake.folder / "dk").write_bytes(key)
    (fake.folder / "aad").write_bytes(b"aad")
    sealed = nonce + AESGCM(key).encrypt(nonce, b"of others", b"aad")
    args = ["--in", "-", "--data-key", fake.folder / "dk", "--kms-key", "arn:aws:kms:x"]
    status, out = fake.run("decrypt", "foreign", *args, "--aad", fake.folder / "aad", stdin=sealed, json_out=False)
    check("decrypt", (status, out) == (0, b"of others"), out)
    check("decrypt-other-aad", fake.code("decrypt", "foreign", *args, "-o", back, stdin=sealed) == "SEAL_OPEN")


def test_rotate(fake):
    records = fake.folder / "records"
    records.write_text("\n".join(("data-0", "nowhere", "data-1", *ALGORITHMS)) + "\n")
    state = fake.folder / "state"
    status, out = fake.run("rotate", "--records", records, "--state", state, "--batch", "2")
    first = out.get("stdout", b"")
    out = json.loads(first.splitlines()[0]) if first else out
    check("rotate-names-what-failed", status == 1 and out.get("rotated") == 6 and out.get("failed") == 1, (status, out))
    status, out = fake.run("rotate", "--records", records, "--state", state)
    check("rotate-goes-on", status == 0 and out["passed_over"] == 7 and out["calls"] == 0, out)
    records.write_text("data-0\n")
    check("rotate-other-list", fake.code("rotate", "--records", records, "--state", state) == "STATE")
    _, out = fake.run("unseal", "data-1", "-o", fake.folder / "back")
    check("rotate-moves-the-version", out.get("version") == 2, out)
    check("rotate-usage", fake.run("rotate")[0] == 2 and fake.code("rotate", "--all") == "NOT_IMPLEMENTED")


def test_validation(fake):
    before = len(fake.calls())
    digest = "00" * 32
    refusals = [
        ("generate", ["a b", "-a", "ed25519"], "RANGE"), ("generate", ["x" * 129, "-a", "ed25519"], "RANGE"),
        ("generate", ["", "-a", "ed25519"], "RANGE"), ("generate", ["x", "-a", "data"], "ALGORITHM"), ("generate", ["x", "-a", "rsa"], "ALGORITHM"),
        ("sign", ["x", "-a", "ed25519", "--digest", digest], "ALGORITHM"), ("sign", ["x", "-a", "ecdsa-p256", "--digest", digest[2:]], "FORMAT"),
        ("unseal", ["\u00e9", "-o", "/tmp/never"], "RANGE")]
    got = [fake.code(command, *args) for command, args, _ in refusals]
    check("refused-before-anything-is-sent", got == [r[2] for r in refusals] and len(fake.calls()) == before, got)
    check("no-policy", fake.code("stats", caller=None, options=fake.options[:4]) == "ATT_NO_POLICY" and len(fake.calls()) == before)
    identity = fake.folder / "alice.json"
    identity.chmod(0o640)
    check("identity-of-others", fake.code("unseal", "data-1", "-o", "/tmp/never") == "IO")
    identity.chmod(0o600)
    wrong = [*fake.options[:5], ":".join(f"{b:02x}" * 48 for b in (1, 2, 4))]
    check("other-image", fake.code("unseal", "data-1", "-o", "/tmp/never", options=wrong) == "ATT_PCR")
    check("other-root", fake.code("unseal", "data-1", "-o", "/tmp/never", options=[*fake.options[:2], *fake.options[4:]]) == "ATT_CHAIN")
    sealed_never = [c for c in fake.calls()[before:] if c[0] != "Attest"]
    check("nothing-sent-to-another-image", not sealed_never, sealed_never)
    check("stranger", fake.code("unseal", "data-1", "-o", "/tmp/never", caller="stranger") == "CALLER_UNKNOWN")


def test_retries(fake):
    fake.faults("busy-once")
    before = len(fake.calls())
    status, out = fake.run("sign", "ed25519", "-a", "ed25519", "--message", fake.folder / "message")
    tries = [c for c in fake.calls()[before:] if c[0] == "Sign"]
    check("busy-is-tried-again", status == 0 and out["attempts"] == 2 and len(tries) == 2, out)
    check("the-same-bytes-again", tries[0] == tries[1], tries)
    fake.faults("lost-once")
    before = len(fake.calls())
    status, out = fake.run("seal", "lost", stdin=b"plain")
    tries = [c for c in fake.calls()[before:] if c[0] == "Seal"]
    check("lost-reply-is-asked-again", status == 0 and len(tries) == 2 and tries[0] == tries[1], (out, tries))
    fake.faults("busy")
    before, began = len(fake.calls()), time.monotonic()
    check("busy-for-good", fake.code("seal", "busy", "--retries", "3", stdin=b"") == "TEE_BUSY")
    check("as-often-as-told", len(fake.calls()) - before == 5, fake.calls()[before:])
    began = time.monotonic()
    check("deadline-of-the-whole", fake.code("seal", "busy", "--retries", "100", "--timeout-ms", "700", stdin=b"") == "TEE_BUSY" and time.monotonic() - began < 2)
    fake.faults("denied")
    before = len(fake.calls_of("Seal"))
    check("final-refusal-is-final", fake.code("seal", "denied", stdin=b"") == "KMS_DENIED" and len(fake.calls_of("Seal")) == before + 1)
    fake.faults("slow")
    began = time.monotonic()
    check("timeout", fake.code("seal", "slow", "--timeout-ms", "500", stdin=b"") == "TIMEOUT" and time.monotonic() - began < 3)
    fake.faults()


def test_idempotency(fake):
    request = ["--request-id", secrets.token_hex(16), "--time-ms", str(int(time.time() * 1000))]
    args = ["sign", "schnorr-bip340", "-a", "schnorr-bip340", "--message", fake.folder / "message", *request]
    first, second = fake.run(*args), fake.run(*args)
    check("same-id-same-answer", first[0] == second[0] == 0 and first[1]["signature"] == second[1]["signature"] and
          first[1]["counter"] == second[1]["counter"], (first, second))
    args[1] = "imported"
    args[3] = "ecdsa-secp256k1"
    check("same-id-other-request", fake.code(*args) == "REQUEST_REPLAY")


def test_lies(fake):
    for fault, codes in (("result", {"AUDIT_CHAIN"}), ("no-entry", {"AUDIT_CHAIN"}), ("code", {"AUDIT_CHAIN"}), ("entry-signature", {"AUDIT_CHAIN"}),
                         ("garbage", {"FORMAT"})):
        fake.faults(fault)
        out = [fake.code("sign", "ed25519", "-a", "ed25519", "--message", fake.folder / "message"),
               fake.code("unseal", "data-1", "-o", fake.folder / "lie"), fake.code("public-key", "ed25519", caller=None)]
        # the attestation is answered by the same enclave: a wrong signature is seen there first
        check(f"lie-{fault}", set(out) <= codes, out)
    check("no-plaintext-of-a-lie", not (fake.folder / "lie").exists())
    fake.faults()


def test_approvals(fake):
    fake.faults("approvals")
    body, approval = fake.folder / "body", fake.folder / "approval"
    request = ["--request-id", secrets.token_hex(16), "--time-ms", str(int(time.time() * 1000))]
    args = ["sign", "ed25519", "-a", "ed25519", "--message", fake.folder / "message"]
    check("approval-is-needed", fake.code(*args) == "APPROVALS")
    before = len(fake.calls())
    check("body-only", fake.run(*args, *request, "--body", body, json_out=False)[0] == 0 and len(fake.calls()) == before)

    def approve(who, *more):
        out = subprocess.run([SIGNCTL, "tee", "approve", body, "-i", fake.folder / f"{who}.json", *more, "--json"], capture_output=True)
        return out.returncode, json.loads(out.stdout)

    status, shown = approve("bob", "--show")
    check("approver-sees-the-request", status == 0 and shown["operation"] == "Sign" and shown["record"] == "ed25519" and shown["caller"] == "alice" and
          bytes.fromhex(shown["payload"]) == (fake.folder / "message").read_bytes(), shown)
    check("own-request", approve("alice", "-o", approval)[1].get("code") == "RANGE" and not approval.exists())
    check("approve", approve("bob", "-o", approval)[0] == 0)
    status, out = fake.run(*args, *request, "--approval", approval)
    check("approved", status == 0, out)
    other = [*args[:-1], SIGNCTL if os.path.getsize(SIGNCTL) < 100000 else fake.folder / "root.pem"]
    check("approval-of-another-request", fake.code(*other, "--request-id", secrets.token_hex(16), "--time-ms", request[3], "--approval", approval) == "APPROVALS")
    fake.faults()


def test_restart(fake):
    """The enclave restarts behind a client that stays connected."""
    records = fake.folder / "records"
    records.write_text("\n".join(["data-1"] * 1) + "\n")
    audit = fake.folder / "mine.jsonl"
    status, one = fake.run("seal", "before", "--audit", audit, stdin=b"x")
    fake.process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    status, two = fake.run("seal", "after", "--audit", audit, stdin=b"x")
    check("restart-is-another-boot", status == 0 and one["boot"] != two["boot"], (one, two))
    out = subprocess.run([SIGNCTL, "audit", "verify", fake.folder / "audit", "--root", fake.folder / "root.pem", "--any-pcrs", "--json", "--head",
                          f"{one['counter']}:{one['head']}", "--head", f"{two['counter']}:{two['head']}"], capture_output=True)
    check("log-holds-both-heads", out.returncode == 0 and json.loads(out.stdout)["heads_found"] == 2, out.stdout)
    shown = (fake.folder / "audit").read_text()
    check("audit-file", all(line.split('"entry":"')[1].split('"')[0] in shown for line in audit.read_text().splitlines()) and
          len(audit.read_text().splitlines()) == 2)


def openssl(*args, **more):
    subprocess.run(["openssl", *args], check=True, capture_output=True, **more)


def make_tls(folder, clients):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=ca", "-keyout", folder / "ca.key",
            "-out", folder / "ca.pem")
    for name in ("tls", "client"):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout", folder / f"{name}.key", "-out",
                folder / f"{name}.csr")
        (folder / "ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", folder / f"{name}.csr", "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", folder / "ext", "-out", folder / f"{name}.pem")
    if clients:
        (folder / "tls-ca.pem").write_bytes((folder / "ca.pem").read_bytes())


def test_tls():
    fake = Fake(lambda folder: (make_tls(folder, True), (folder / "token").write_text("abc.def"), (folder / "bearer").write_text("abc.def\n"),
                                (folder / "bad").write_text("abc.deg\n")))
    try:
        f = fake.folder
        mine = ["--cert", f / "client.pem", "--key", f / "client.key"]
        ca, token = ["--ca", f / "ca.pem"], ["--token-file", f / "bearer"]
        stats = lambda *more: fake.code("stats", *more, "--retries", "0", "--timeout-ms", "3000", caller=None)  # noqa: E731
        check("mtls-and-token", stats(*ca, *mine, *token) == "OK", stats(*ca, *mine, *token))
        check("no-client-certificate", stats(*ca, *token) in ("TLS", "CLOSED", "TIMEOUT"), stats(*ca, *token))
        check("bad-token", stats(*ca, *mine, "--token-file", f / "bad") == "TOKEN")
        check("no-token", stats(*ca, *mine) == "TOKEN")
        check("other-name", stats(*ca, *mine, *token, "--server-name", "example.org") == "TLS")
        check("other-ca", stats("--ca", f / "root.pem", *mine, *token) == "TLS")
        check("plain-to-tls", stats(*token) in ("CLOSED", "TIMEOUT", "FORMAT", "CONNECT"), stats(*token))
        check("certificate-without-ca", fake.run("stats", *mine, caller=None)[0] == 2)
        away = ["-g", "tcp:192.0.2.1:1", *fake.options[2:]]
        check("token-in-clear-beyond-loopback", fake.run("stats", *token, caller=None, options=away)[0] == 2)
    finally:
        fake.close()


def main():
    fake = Fake()
    try:
        for test in (test_operations, test_data, test_validation, test_retries, test_idempotency, test_lies, test_approvals, test_rotate, test_restart):
            test(fake)
    finally:
        fake.close()
    test_tls()
    sys.exit(failed)


main()
