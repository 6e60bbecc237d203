#!/usr/bin/env python3
"""sign-kms-local as a process, from the credentials on its port to an attested Decrypt: sign-core is this script, KMS, IMDS and the
NSM are sign-emulator, the parent's proxy is a byte pump. Prints `ok NAME`, `not ok NAME` or `skip NAME`. With --bench it prints
calls of KMS a second, and nothing else."""
import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

AWS = "/usr/bin/aws" if os.access("/usr/bin/aws", os.X_OK) else shutil.which("aws")
if AWS is None:
    print("skip kms_channel (aws is not installed)")
    sys.exit(77)

failed = False


def check(name, ok, detail=""):
    global failed
    failed = failed or not ok
    print(f"ok {name}" if ok else f"not ok {name} ({detail})", flush=True)


# ---- the little CBOR that frames need

def head(major, n):
    if n < 24:
        return bytes([major << 5 | n])
    for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if n < 1 << (8 * size):
            return bytes([major << 5 | code]) + n.to_bytes(size, "big")
    raise ValueError(n)


def enc(v):
    if v is None:
        return b"\xf6"
    if isinstance(v, bool):
        return b"\xf5" if v else b"\xf4"
    if isinstance(v, int):
        return head(0, v)
    if isinstance(v, bytes):
        return head(2, len(v)) + v
    if isinstance(v, str):
        return head(3, len(v.encode())) + v.encode()
    if isinstance(v, list):
        return head(4, len(v)) + b"".join(map(enc, v))
    rows = sorted((enc(k), enc(x)) for k, x in v.items())
    return head(5, len(rows)) + b"".join(k + x for k, x in rows)


def dec(b, at=0):
    major, n = b[at] >> 5, b[at] & 31
    at += 1
    if major == 7:
        return {20: False, 21: True, 22: None}[n], at
    if n >= 24:
        size = 1 << (n - 24)
        n = int.from_bytes(b[at:at + size], "big")
        at += size
    if major == 0:
        return n, at
    if major in (2, 3):
        raw = b[at:at + n]
        return (raw if major == 2 else raw.decode()), at + n
    out = []
    for _ in range(n * (1 if major == 4 else 2)):
        v, at = dec(b, at)
        out.append(v)
    return (out if major == 4 else dict(zip(out[::2], out[1::2]))), at


# ---- the world around

class World:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="csk")
        self.log = open(f"{self.dir}/emulator.log", "w")
        self.emulator = subprocess.Popen(["sign-emulator", "--dir", f"{self.dir}/e"], stdout=subprocess.DEVNULL, stderr=self.log)
        for _ in range(400):
            if os.path.exists(f"{self.dir}/e/emulator.json"):
                break
            time.sleep(0.02)
        self.emu = json.load(open(f"{self.dir}/e/emulator.json"))
        self.pcr0 = "11" * 48
        self.env = dict(os.environ, AWS_ACCESS_KEY_ID=self.emu["access_key_id"], AWS_SECRET_ACCESS_KEY=self.emu["secret_access_key"],
                        AWS_DEFAULT_REGION="us-east-1", AWS_CA_BUNDLE=self.emu["ca"], AWS_EC2_METADATA_DISABLED="true")
        self.arn = self.kms("create-key", "--policy", json.dumps(self.policy()))["KeyMetadata"]["Arn"]
        self.other_arn = self.kms("create-key", "--policy", json.dumps(self.policy()))["KeyMetadata"]["Arn"]
        self.plain = b"AGE-SECRET-KEY-TEST-VECTOR-ONLY\n"
        with open(f"{self.dir}/plain", "wb") as f:
            f.write(self.plain)
        self.blob = base64.b64decode(self.kms("encrypt", "--key-id", self.arn, "--plaintext", f"fileb://{self.dir}/plain",
                                              "--encryption-context", "app=sign")["CiphertextBlob"])
        subprocess.run(["openssl", "genrsa", "-out", f"{self.dir}/rsa.pem", "2048"], check=True, capture_output=True)
        self.spki = subprocess.run(["openssl", "rsa", "-in", f"{self.dir}/rsa.pem", "-pubout", "-outform", "DER"], check=True,
                                   capture_output=True).stdout
        os.mkdir(f"{self.dir}/l")
        self.proxy()

    def policy(self):
        image = {"kms:RecipientAttestation:ImageSha384": self.pcr0}
        return {"Version": "2012-10-17", "Statement": [
            {"Sid": "admin", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:user/admin"},
             "Action": ["kms:Encrypt", "kms:PutKeyPolicy", "kms:DisableKey", "kms:EnableKey"], "Resource": "*"},
            {"Sid": "enclave", "Effect": "Allow", "Principal": {"AWS": self.emu["role_arn"]},
             "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": "*",
             "Condition": {"StringEqualsIgnoreCase": image}},
            {"Sid": "others", "Effect": "Deny", "Principal": "*", "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
             "Resource": "*", "Condition": {"StringNotEqualsIgnoreCase": image}}]}

    def kms(self, *args):
        out = subprocess.run([AWS, "--endpoint-url", self.emu["kms"], "--output", "json", "kms", *args], env=self.env, check=True,
                             capture_output=True, text=True).stdout
        return json.loads(out) if out.strip() else {}

    def proxy(self):
        self.proxy_to = ("127.0.0.1", self.emu["kms_port"])
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{self.dir}/l/parent-5000.sock")
        listener.listen()
        self.connections = 0
        self.open_ends = []

        def pump(a, b):
            try:
                while data := a.recv(65536):
                    b.sendall(data)
                b.shutdown(socket.SHUT_WR)
            except OSError:
                pass

        def accept():
            while True:
                c, _ = listener.accept()
                self.connections += 1
                if self.proxy_to is None:
                    c.close()
                    continue
                up = socket.create_connection(self.proxy_to)
                self.open_ends += [c, up]
                threading.Thread(target=pump, args=(c, up), daemon=True).start()
                threading.Thread(target=pump, args=(up, c), daemon=True).start()
        threading.Thread(target=accept, daemon=True).start()

    def hostile_conf(self):
        """An OpenSSL configuration with which no handshake can succeed: whoever reads it fails every call below."""
        path = f"{self.dir}/openssl.cnf"
        with open(path, "w") as f:
            f.write("openssl_conf = o\n[o]\nssl_conf = s\n[s]\nsystem_default = d\n[d]\nMinProtocol = TLSv1\nMaxProtocol = TLSv1\n")
        return path

    def fault(self, **order):
        """What KMS does wrong from now on; without an argument nothing."""
        path = f"{self.dir}/e/kms-fault.json"
        if not order:
            os.unlink(path)
            return
        with open(path + ".new", "w") as f:
            json.dump(order, f)
        os.rename(path + ".new", path)

    def cut(self):
        """The proxy drops every connection that it carries."""
        for c in self.open_ends:
            try:
                c.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.open_ends.clear()

    def credentials(self):
        base = self.emu["imds"] + "/latest/"
        ask = urllib.request.Request(base + "api/token", method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
        token = urllib.request.urlopen(ask).read().decode()

        def get(path):
            return urllib.request.urlopen(urllib.request.Request(base + path, headers={"X-aws-ec2-metadata-token": token})).read()
        role = get("meta-data/iam/security-credentials/").decode()
        return get("meta-data/iam/security-credentials/" + role)

    def document(self, pcr0=None):
        control = socket.socket(socket.AF_UNIX)
        control.connect(self.emu["nsm_control"])
        control.sendall(json.dumps({"op": "create", "module_id": "i-1234567890abcdef0-enc0123456789abcdef", "debug": False,
                                    "pcrs": {"0": pcr0 or self.pcr0, "1": "22" * 48, "2": "33" * 48}}).encode() + b"\n")
        path = json.loads(control.makefile().readline())["nsm"]
        nsm = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        nsm.connect(path)
        nsm.send(enc({"Attestation": {"user_data": None, "nonce": None, "public_key": self.spki}}))
        doc = dec(nsm.recv(12288))[0]["Attestation"]["document"]
        nsm.close()
        control.close()
        return doc

    def close(self):
        self.emulator.terminate()
        self.emulator.wait(10)
        shutil.rmtree(self.dir)


KMS_CALL, CRED_WIPE, KMS_REPLY, CRED_STATE = 64, 65, 96, 97
DECRYPT, DATA_KEY, RANDOM = 1, 2, 3


def section_of(w, ca=None):
    """The kms section of the measured configuration."""
    return {"ca": open(ca or w.emu["ca"], "rb").read(), "encryptionContext": {"app": "sign"},
            "host": "kms.us-east-1.amazonaws.com", "keyArn": w.arn, "lease": True, "level": "debug", "parentCid": 3,
            "proxyPort": 5000, "region": "us-east-1", "teeKmsKeyArns": [w.other_arn]}


class Channel:
    """One sign-kms-local with its link and its port."""

    def __init__(self, w, ca=None, name="kms"):
        self.w = w
        self.link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.link.settimeout(60)
        self.path = f"{w.dir}/l/enclave-7100.sock"
        if os.path.exists(self.path):
            os.unlink(self.path)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.listen()
        fd = os.memfd_create("kms")
        os.write(fd, enc(section_of(w, ca)))
        self.log = f"{w.dir}/{name}.log"
        self.process = subprocess.Popen(["sign-kms-local", "--config-fd", str(fd), "--link-core", str(theirs.fileno()),
                                         "--listen-credentials", str(listener.fileno()), "--local-dir", f"{w.dir}/l"],
                                        pass_fds=[fd, theirs.fileno(), listener.fileno()], stderr=open(self.log, "w"),
                                        env=dict(os.environ, OPENSSL_CONF=w.hostile_conf()))
        for s in (theirs, listener):
            s.close()
        os.close(fd)
        self.id = 0
        self.first = self.frame()  # a process that starts tells the state of its credentials

    def frame(self):
        return dec(self.link.recv(1 << 18))[0]

    def ask(self, op, doc=None, arn=None, blob=None, context=None):
        """Sends a KMS_CALL; its id."""
        self.id += 1
        self.link.send(enc([KMS_CALL, self.id, op, self.w.arn if arn is None else arn, self.w.blob if blob is None else blob,
                            doc if doc is not None else self.w.document(), {"app": "sign"} if context is None else context]))
        return self.id

    def call(self, op, **kw):
        number = self.ask(op, **kw)
        f = self.frame()
        assert f[0] == KMS_REPLY and f[1] == number, f
        return f[2:]  # code, type, status, key id, for recipient, blob

    def inject(self, data):
        c = socket.socket(socket.AF_UNIX)
        c.settimeout(60)
        c.connect(self.path)
        try:
            c.sendall(data)
            c.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused before all was sent
        return json.loads(c.makefile().readline())

    def open(self, envelope):
        path = f"{self.w.dir}/cms"
        with open(path, "wb") as f:
            f.write(envelope)
        return subprocess.run(["openssl", "cms", "-decrypt", "-inform", "DER", "-in", path, "-inkey", f"{self.w.dir}/rsa.pem"],
                              check=True, capture_output=True).stdout


def refuses(name, channel, code, aws_type="", **kw):
    got = channel.call(kw.pop("op", DECRYPT), **kw)
    check(name, got[0] == code and got[1] == aws_type and got[4] == b"", got[:3])


def credentials_port(k, good):
    answer = k.inject(b"")
    check("empty", answer["code"] == "INJECT_EMPTY" and answer["cause"] != "" and answer["fix"] != "", answer)
    check("not-json", k.inject(b"{]")["code"] == "CRED_FORMAT")
    check("too-large", k.inject(b" " * 20000)["code"] == "TOO_LARGE")
    old = dict(json.loads(good), Expiration="2020-01-01T00:00:00Z")
    check("expired-credentials", k.inject(json.dumps(old).encode())["code"] == "CRED_EXPIRED")
    first = socket.socket(socket.AF_UNIX)
    first.connect(k.path)
    first.sendall(b"{")
    check("busy", k.inject(good)["code"] == "INJECT_BUSY")
    first.close()
    for _ in range(100):  # until the broken one is gone
        answer = k.inject(good)
        if answer["code"] != "INJECT_BUSY":
            break
    check("injected", answer["code"] == "OK", answer)
    f = k.frame()
    check("state-present", f[0] == CRED_STATE and f[2] == 1 and f[3] > time.time() * 1000, f)


def attested_calls(w, k):
    for form in ("constructed", "primitive"):
        got = k.call(DECRYPT)
        check(f"decrypt-{form}", got[0] == "OK" and got[3] == w.arn and k.open(got[4]) == w.plain, got[:4])
    got = k.call(DATA_KEY, blob=b"")
    check("data-key", got[0] == "OK" and len(k.open(got[4])) == 32 and len(got[5]) > 32, got[:4])
    got = k.call(DATA_KEY, arn=w.other_arn, blob=b"")
    check("data-key-of-another-key-of-the-list", got[0] == "OK" and got[3] == w.other_arn and len(k.open(got[4])) == 32, got[:4])
    key = k.open(got[4])
    got = k.call(DECRYPT, arn=w.other_arn, blob=got[5])
    check("its-blob-decrypts-to-the-same-key", got[0] == "OK" and got[3] == w.other_arn and k.open(got[4]) == key, got[:4])
    got = k.call(RANDOM, arn="", blob=b"")
    check("random", got[0] == "OK" and len(k.open(got[4])) == 32, got[:4])


def refusals(w, k):
    before = w.connections
    refuses("other-key-is-never-asked", k, "KMS_KEY_LIST", arn="arn:aws:kms:us-east-1:999999999999:key/x")
    refuses("other-operation-is-never-asked", k, "UNSUPPORTED", op=4)
    check("nothing-was-sent", w.connections == before)
    refuses("other-image", k, "KMS_DENIED", "AccessDeniedException", doc=w.document("44" * 48))
    refuses("other-context", k, "KMS_CIPHERTEXT", "InvalidCiphertextException", context={"app": "other"})
    refuses("damaged-blob", k, "KMS_CIPHERTEXT", "InvalidCiphertextException", blob=w.blob[:-1])
    refuses("damaged-document", k, "KMS_VALIDATION", "ValidationException", doc=w.document()[:-1] + b"\0")
    w.kms("disable-key", "--key-id", w.arn)
    refuses("disabled-key", k, "KMS_STATE", "DisabledException")
    w.kms("enable-key", "--key-id", w.arn)
    keep, w.proxy_to = w.proxy_to, None
    w.cut()
    before = w.connections
    got = k.call(DECRYPT)
    check("dead-proxy-is-tried-three-times", got[0] == "CLOSED" and w.connections - before == 3, (got[:3], w.connections - before))
    w.proxy_to = keep


def faults(w, k):
    """What a KMS that is broken or lies is worth: refused by its name, tried again where it may pass, and well right afterwards."""
    doc = w.document()
    for op, blob in ((DECRYPT, w.blob), (DATA_KEY, b"")):
        name = "decrypt" if op == DECRYPT else "data-key"
        for fault, code, aws_type in (("throttle", "KMS_THROTTLED", "ThrottlingException"), ("deny", "KMS_DENIED", "AccessDeniedException"),
                                      ("internal", "KMS_UNAVAILABLE", "KMSInternalException"), ("down", "CLOSED", ""),
                                      ("no-json", "KMS_ANSWER", ""), ("empty", "KMS_ANSWER", ""),
                                      ("foreign-key", "KMS_KEY_ID", ""), ("plaintext", "KMS_PLAINTEXT", ""), ("both", "KMS_PLAINTEXT", "")):
            w.fault(fault=fault)
            refuses(f"{name}-{fault}", k, code, aws_type, op=op, doc=doc, blob=blob)
        for fault in ("throttle", "internal", "down"):
            w.fault(fault=fault, times=2)
            check(f"{name}-{fault}-twice-is-overcome", k.call(op, doc=doc, blob=blob)[0] == "OK")
        w.fault(fault="forged")  # core finds out: it is no business of the channel
        got = k.call(op, doc=doc, blob=blob)
        check(f"{name}-forged-envelope-is-handed-on", got[0] == "OK" and len(k.open(got[4])) == 32 and k.open(got[4]) != w.plain)
        for fault in ("garbled", "other-recipient"):
            w.fault(fault=fault)
            got = k.call(op, doc=doc, blob=blob)
            try:
                opened = k.open(got[4])
            except subprocess.CalledProcessError:
                opened = None
            check(f"{name}-{fault}-does-not-open", got[0] == "OK" and opened is None)
        w.fault()
        check(f"{name}-well-afterwards", k.call(op, doc=doc, blob=blob)[0] == "OK")
    w.fault(fault="slo")
    refuses("a-fault-that-is-none-is-loud", k, "KMS_UNAVAILABLE", "KMSInternalException", doc=doc)
    w.fault(fault="throttle", operation="Encrypt")
    check("other-operations-are-left-alone", k.call(DECRYPT, doc=doc)[0] == "OK")
    # slow: eight at once take the time of one
    w.fault(fault="slow", milliseconds=400)
    began = time.time()
    want = {k.ask(DECRYPT, doc=doc) for _ in range(8)}
    got = [k.frame() for _ in range(8)]
    took = time.time() - began
    check("slow-ones-run-side-by-side", {f[1] for f in got} == want and all(f[2] == "OK" for f in got) and took < 8 * 0.4, took)
    # one slow call does not hold up the others
    w.fault(fault="slow", milliseconds=3000, times=1)
    slow = k.ask(DECRYPT, doc=doc)
    time.sleep(0.3)
    quick = [k.call(DECRYPT, doc=doc)[0] for _ in range(5)]
    f = k.frame()
    check("a-slow-one-holds-up-nobody", quick == ["OK"] * 5 and f[1] == slow and f[2] == "OK", (quick, f[:3]))
    w.fault()


def side_by_side(w, k, good):
    doc = w.document()
    before = w.connections
    for _ in range(20):
        k.call(DECRYPT, doc=doc)
    check("connections-are-kept", w.connections - before <= 1, w.connections - before)
    w.cut()
    before = w.connections
    got = k.call(DECRYPT, doc=doc)
    check("a-broken-one-is-dialled-anew", got[0] == "OK" and w.connections - before == 1, (got[:3], w.connections - before))
    check("without-counting-as-a-try", '"tries":1}' in open(k.log).read().splitlines()[-1], open(k.log).read().splitlines()[-1])
    # several at once, credentials renewed meanwhile, connections cut in the middle: each is answered once
    before = w.connections
    want = {k.ask(DATA_KEY if i % 2 else DECRYPT, doc=doc, blob=b"" if i % 2 else w.blob) for i in range(64)}
    renewed = k.inject(json.dumps(dict(json.loads(good), Expiration="2099-01-01T00:00:00Z")).encode())
    got, states = {}, []
    while len(got) < 64:
        if len(got) == 20:
            w.cut()
        f = k.frame()
        if f[0] == CRED_STATE:
            states.append(f[2])
        else:
            got[f[1]] = f
    check("each-is-answered-once", set(got) == want)
    check("all-of-them-well", all(f[2] == "OK" for f in got.values()), [f[2:4] for f in got.values() if f[2] != "OK"])
    check("renewed-meanwhile", renewed["code"] == "OK" and states == [1], (renewed, states))
    blobs = [f[7] for f in got.values() if f[7]]
    check("every-data-key-is-another", len(set(blobs)) == 32, len(blobs))
    check("few-connections-for-many-calls", w.connections - before <= 32, w.connections - before)
    # more than the queue holds is refused at once
    w.cut()
    keep, w.proxy_to = w.proxy_to, ("127.0.0.1", hold_port(w))
    for _ in range(1024 + 8 + 50):
        k.ask(DATA_KEY, doc=doc, blob=b"")
    got = [k.frame() for _ in range(50)]
    check("more-than-the-queue-holds-is-refused", all(f[2] == "TEE_BUSY" for f in got), [f[2] for f in got])
    w.proxy_to = keep
    began = time.time()
    k.process.terminate()
    check("sigterm-under-load", k.process.wait(10) == 0 and time.time() - began < 4, time.time() - began)


def hold_port(w):
    """Takes connections and says nothing."""
    w.holder = socket.socket()
    w.holder.bind(("127.0.0.1", 0))
    w.holder.listen(64)
    return w.holder.getsockname()[1]


def release_program(w):
    """sign-kms itself takes vsock only."""
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{w.dir}/l/release.sock")
    listener.listen()
    fd = os.memfd_create("kms")
    os.write(fd, enc(section_of(w)))
    args = ["sign-kms", "--config-fd", str(fd), "--link-core", str(b.fileno()), "--listen-credentials", str(listener.fileno())]
    done = subprocess.run(args, pass_fds=[fd, b.fileno(), listener.fileno()], capture_output=True, text=True, timeout=20)
    check("release-refuses-unix-listeners", done.returncode == 1 and '"UNSUPPORTED"' in done.stderr, done)
    done = subprocess.run(args + ["--local-dir", w.dir], capture_output=True, text=True, timeout=20)
    check("release-has-no-local-dir", done.returncode == 2, done)
    os.close(fd)
    fd = os.memfd_create("kms")
    os.write(fd, enc(dict(section_of(w), extra=1)))
    done = subprocess.run(args[:2] + [str(fd)] + args[3:], pass_fds=[fd, b.fileno(), listener.fileno()], capture_output=True,
                          text=True, timeout=20)
    check("unknown-configuration-key", done.returncode == 1 and '"CONFIG"' in done.stderr, done)
    os.close(fd)


def bench():
    """Calls a second, one after the other and as many at once as core may have; the emulator verifies every document."""
    w = World()
    k = Channel(w)
    k.inject(w.credentials())
    k.frame()
    doc = w.document()
    for at_once in (1, 8, 32):
        for op in (DECRYPT, DATA_KEY):
            seconds, done, waiting, good = 5.0, 0, 0, 0
            began = time.time()
            while time.time() - began < seconds or waiting > 0:
                while waiting < at_once and time.time() - began < seconds:
                    k.ask(op, doc=doc, blob=w.blob if op == DECRYPT else b"")
                    waiting += 1
                f = k.frame()
                waiting -= 1
                done += 1
                good += f[2] == "OK"
            print(f"{'Decrypt' if op == DECRYPT else 'GenerateDataKey'} {at_once} at once: {done / (time.time() - began):.0f}/s, "
                  f"{done - good} failed, {w.connections} connections so far")
    w.fault(fault="slow", milliseconds=50)
    for at_once in (1, 8, 32):
        began, count = time.time(), 20 * min(at_once, 8)
        for i in range(count + at_once):
            if i < count:
                k.ask(DECRYPT, doc=doc)
            if i >= at_once:
                k.frame()
        print(f"Decrypt of a KMS that answers after 50 ms, {at_once} at once: {count / (time.time() - began):.0f}/s")
    k.process.terminate()
    k.process.wait(10)
    w.close()


def main():
    w = World()
    k = Channel(w)
    check("state-of-a-new-process", k.first[:3] == [CRED_STATE, 0, 0], k.first)
    refuses("no-credentials", k, "CRED_MISSING")
    good = w.credentials()
    credentials_port(k, good)
    attested_calls(w, k)
    refusals(w, k)
    faults(w, k)
    side_by_side(w, k, good)
    release_program(w)
    other = Channel(w, ca=w.emu["nsm_root"], name="other")
    other.inject(good)
    other.frame()
    refuses("server-of-another-ca", other, "TLS")
    other.link.close()
    check("end-of-core-is-the-end", other.process.wait(10) == 1)
    k.path = f"{w.dir}/l/enclave-7100.sock"
    k2 = Channel(w, name="third")
    k2.inject(json.dumps(dict(json.loads(good), Token="IQoJwrong")).encode())
    k2.frame()
    refuses("wrong-token", k2, "KMS_TOKEN", "UnrecognizedClientException")
    check("state-expired", k2.frame()[:4] == [CRED_STATE, 0, 2, 0])
    k2.inject(good)
    k2.frame()
    environ = b"".join(open(f"/proc/{k2.process.pid}/{n}", "rb").read() for n in ("cmdline", "environ")
                       if os.access(f"/proc/{k2.process.pid}/{n}", os.R_OK))
    k2.link.send(enc([CRED_WIPE, 0]))
    check("state-none-after-wipe", k2.frame()[:4] == [CRED_STATE, 0, 0, 0])
    refuses("wiped", k2, "CRED_MISSING")
    k2.process.send_signal(signal.SIGTERM)
    check("sigterm", k2.process.wait(10) == 0)
    c = json.loads(good)
    text = environ + b"".join(open(f"{w.dir}/{n}.log", "rb").read() for n in ("kms", "other", "third", "emulator"))
    check("no-secret-in-logs", not any(c[x].encode() in text for x in ("SecretAccessKey", "Token")))
    check("refusals-are-logged-with-the-type", b"AccessDeniedException" in text and b'"code":"KMS_DENIED"' in text)
    w.close()
    return 1 if failed else 0


sys.exit(bench() if "--bench" in sys.argv else main())
