"""The stack of tee.py: an emulated AWS, sign-host with an enclave in processes, sign-gateway, each started again when it ends (what systemd's
Restart=always does) and reached through proxies that hold and cut; a caller of the TEE service who remembers every answer. Not a test by itself."""
import base64
import glob
import hashlib
import http.client
import json
import os
import pwd
import re
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("COUNTERSIGN_BIN", f"{ROOT}/build/bin")
try:
    import cbor2
    import grpc
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils
except ImportError as e:
    print(f"skip tee ({e.name}: python3-cbor2, python3-cryptography and python3-grpcio are needed)")
    sys.exit(77)

SIGN, GENERATE, PUBLIC_KEY = 1, 5, 7
K1 = 1


def now_ms():
    return int(time.time() * 1000)


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value
        time.sleep(0.05)


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


def free_ports(num):
    held = [socket.socket() for _ in range(num)]
    for s in held:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


class Proxy:
    """Between two programs. flow cleared: bytes to the client wait. refuse: connections end at once. watch(bytes to the server) may say
    "drop" (the connection ends without them) or "mute" (they go on, and it ends without an answer)."""

    def __init__(self, connect):
        self.connect, self.flow, self.refuse, self.watch, self.pairs, self.held = connect, threading.Event(), False, None, set(), 0
        self.flow.set()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            try:
                server = None if self.refuse else self.connect()
            except OSError:
                server = None
            if server is None:
                client.close()
                continue
            pair = (client, server)
            server.settimeout(None)
            self.pairs.add(pair)
            threading.Thread(target=self.pump, args=(client, server, pair, True), daemon=True).start()
            threading.Thread(target=self.pump, args=(server, client, pair, False), daemon=True).start()

    def pump(self, source, sink, pair, to_server):
        try:
            while data := source.recv(65536):
                order = self.watch(data) if to_server and self.watch else None
                if order == "drop":
                    break
                if order == "mute":
                    sink.sendall(data)
                    time.sleep(0.5)
                    break
                if not to_server and not self.flow.is_set():
                    self.held += len(data)
                    self.flow.wait()
                sink.sendall(data)
        except OSError:
            pass
        self.end(pair)

    def end(self, pair):
        self.pairs.discard(pair)
        for s in pair:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def hold(self):
        self.held = 0
        self.flow.clear()

    def release(self):
        self.flow.set()

    def cut(self):
        for pair in list(self.pairs):
            self.end(pair)


class Kept:
    """A program that is started again a second after it ends, as long as it is wanted."""

    def __init__(self, command, log):
        self.command, self.log, self.starts, self.life, self.process = command, log, 0, 0, None
        self.lock = threading.Lock()
        self.begin()

    def begin(self):
        self.life += 1
        self.start()
        threading.Thread(target=self.watch, args=(self.life,), daemon=True).start()

    def start(self):
        argv, env = self.command()
        with open(self.log, "ab") as log:  # SIGXFSZ stays ignored: a limit of file sizes is an error of write, as a full disk is
            self.process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, restore_signals=False)
        self.starts += 1

    def watch(self, life):
        while life == self.life:
            self.process.wait()
            time.sleep(1)
            with self.lock:
                if life == self.life and self.process.poll() is not None:
                    self.start()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        with self.lock:
            self.life += 1
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()

    def again(self):
        """ended in order, and started as it is wanted now"""
        self.end()
        self.begin()


PREPARE = """
set -e
callers() { caller_new demo Sign,Decrypt,Seal,Unseal,Generate,Import,Rotate '*'; }
emulator_up; publisher_new; age_new; key_new
CONFIG_TEE='{enabled: true, workers: 2}'
CONFIG_LEVEL=warn; image_build "$RUN/other"; OTHER=$PCR0
CONFIG_LEVEL=info; image_build "$RUN/image"
key_bind "$PCR0"; callers
shares_new "$RUN/shares" 1 -n 1 --sealing-root --caller "$RUN/callers/demo.pub.json"
age_seal "$RUN/age-private.key" "$RUN/age-private.key.enc"
s3_put "$RUN/age-private.key.enc" enclave/age-private.key.enc
s3_put "$RUN/shares/service_key_shares.json.age" enclave/service_key_shares.json.age
jq -n --arg key "$KEY_ARN" --arg kms "$KMS" --arg ca "$CA" --arg role "$ROLE_ARN" --arg account "$ACCOUNT" --arg other "$OTHER" --arg pcr0 "$PCR0" \
    --arg pcr1 "$PCR1" --arg pcr2 "$PCR2" '{KEY_ARN: $key, KMS: $kms, CA: $ca, ROLE_ARN: $role, ACCOUNT: $account, OTHER: $other, PCR0: $pcr0,
    PCR1: $pcr1, PCR2: $pcr2}' >"$RUN/facts.json"
"""


class Stack:
    def __init__(self):
        self.run = tempfile.mkdtemp(prefix="cs-tf.")
        self.facts = {}
        self.shell(PREPARE)
        self.facts = json.load(open(f"{self.run}/facts.json"))
        self.emu = json.load(open(f"{self.run}/emu/emulator.json"))
        self.service_port, self.grpc, self.http = free_ports(3)
        kms = self.emu["kms_connect"].split(":")[-1]
        self.to_kms = Proxy(lambda: socket.create_connection(("127.0.0.1", int(kms)), 5))
        self.to_service = Proxy(lambda: socket.create_connection(("127.0.0.1", self.service_port), 5))
        self.image, self.gateway_extra, self.gateway_prefix, self.gateway_env = "image", [], [], {}
        self.store = f"sqlite:{self.run}/tee.db"
        self.host = Kept(self.host_command, f"{self.run}/host.log")
        self.gateway = Kept(self.gateway_command, f"{self.run}/gateway.log")

    def shell(self, script):
        facts = {k: v for k, v in self.facts.items() if k != "OTHER"}
        assigned = "\n".join(f"{k}='{v}'" for k, v in {"RUN": self.run, **facts}.items())
        done = subprocess.run(["bash", "-c", f"RUN='{self.run}'\n. '{ROOT}/scripts/stack-lib.sh'\n{assigned}\n{script}"], cwd=ROOT, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{script.strip().splitlines()[0]}: {done.stderr[-500:]}{done.stdout[-300:]}")
        return done.stdout

    def host_command(self):
        bucket = "s3://enclave-artifacts/enclave"
        env = {**os.environ, "AGE_KEY_S3_URI": f"{bucket}/age-private.key.enc", "KEY_SHARES_S3_URI": f"{bucket}/service_key_shares.json.age",
               "AWS_REGION": "us-east-1", "IMDS_ENDPOINT": self.emu["imds"], "S3_ENDPOINT": self.emu["s3"]}
        return [f"{BIN}/sign-host", "run", "--driver", "local", "--image", f"{self.run}/{self.image}", "--dir", f"{self.run}/host", "--nsm-control",
                self.emu["nsm_control"], "--kms-endpoint", f"tcp:127.0.0.1:{self.to_kms.port}", "--listen", f"tcp:127.0.0.1:{self.service_port}"], env

    def gateway_command(self):
        f = self.facts
        env = {**os.environ, "APP_TEE_ENABLED": "true", "APP_TEE_ALLOWEDPCRS": f"{f['PCR0']}:{f['PCR1']}:{f['PCR2']}",
               "APP_TEE_ATTESTATIONROOT": self.emu["nsm_root"], **self.gateway_env}
        if self.store.startswith("sqlite:"):
            env["APP_TEE_STORE_PATH"] = self.store[7:]
        else:
            env.update(APP_TEE_STORE_DRIVER="postgres", APP_TEE_STORE_DSN=self.store)
        return [*self.gateway_prefix, f"{BIN}/sign-gateway", "--service", f"tcp:127.0.0.1:{self.to_service.port}", "--listen-grpc", f"tcp:127.0.0.1:{self.grpc}",
                "--listen-http", f"tcp:127.0.0.1:{self.http}", *self.gateway_extra], env

    def fault(self, **order):
        path = f"{self.run}/emu/kms-fault.json"
        if order:
            with open(path + ".new", "w") as f:
                json.dump(order, f)
            os.rename(path + ".new", path)
        elif os.path.exists(path):
            os.unlink(path)

    def enclave_pid(self, program):
        """of a program of the enclave, a child of sign-host"""
        for name in os.listdir("/proc"):
            try:
                stat = open(f"/proc/{name}/stat").read() if name.isdigit() else ""
                argv = open(f"/proc/{name}/cmdline").read() if stat else ""
            except OSError:
                continue
            if stat and int(stat.rsplit(")", 1)[1].split()[1]) == self.host.process.pid and program in argv.split("\0")[0]:
                return int(name)
        return None

    def gate_log(self):
        """the gateway's log lines of the gate: open or not"""
        return [bool(re.search(r'"open":true', line)) for line in open(f"{self.run}/gateway.log", errors="replace") if '"tee_gate"' in line]

    def close(self):
        self.gateway.end()
        self.host.end()
        subprocess.run(["bash", "-c", f"RUN='{self.run}'; . '{ROOT}/scripts/stack-lib.sh'; emulator_down"], cwd=ROOT)
        if os.environ.get("KEEP"):
            print(f"# {self.run}")
        else:
            shutil.rmtree(self.run, ignore_errors=True)


class Server:
    """PostgreSQL of the test's own: a unix socket only, never as root; reached through a proxy."""

    def __init__(self):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
        self.bin = os.path.dirname(found[-1]) if found else None
        if self.bin is None:
            return
        self.dir = tempfile.mkdtemp(prefix="cs-tfpg.")
        self.root = os.getuid() == 0  # PostgreSQL refuses root
        self.user = "nobody" if self.root else pwd.getpwuid(os.getuid()).pw_name
        if self.root:
            os.chown(self.dir, pwd.getpwnam("nobody").pw_uid, -1)
        self.run("initdb", "-D", f"{self.dir}/data", "-A", "trust", "-U", self.user, "-E", "UTF8")
        self.start()
        self.run("createdb", "-h", self.dir, "-U", self.user, "tee")
        self.proxy = Proxy(self.connect)
        self.dsn = f"postgresql://{self.user}@127.0.0.1:{self.proxy.port}/tee?sslmode=disable"

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.connect(f"{self.dir}/.s.PGSQL.5432")
        return s

    def run(self, program, *args):
        to = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"] if self.root else []
        with open(f"{self.dir}.log", "ab") as log:  # not a pipe: the server would hold it
            subprocess.run([*to, "env", "LC_ALL=C.UTF-8", f"{self.bin}/{program}", *args], cwd=self.dir, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                           check=True)

    def start(self):
        self.run("pg_ctl", "-D", f"{self.dir}/data", "-w", "-o", f"-k {self.dir} -c listen_addresses=''", "-l", f"{self.dir}/log", "start")

    def stop(self, how="fast"):
        self.run("pg_ctl", "-D", f"{self.dir}/data", "-w", "-m", how, "stop")

    def psql(self, text):
        return subprocess.run([f"{self.bin}/psql", "-q", "-At", "-h", self.dir, "-U", self.user, "tee", "-c", text], capture_output=True, text=True)

    def logged(self, text):
        return open(f"{self.dir}/log", errors="replace").read().count(text)

    def close(self):
        try:
            self.stop("immediate")
        except subprocess.CalledProcessError:
            pass
        shutil.rmtree(self.dir, ignore_errors=True)
        os.unlink(f"{self.dir}.log")


class Caller:
    """Makes calls over HTTP and remembers what was answered."""

    def __init__(self, stack, name="demo"):
        self.stack, self.file = stack, f"{stack.run}/callers/{name}.json"
        self.id = json.load(open(self.file))
        self.key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(self.id["ed25519_seed"]))
        self.answered, self.signatures, self.public, self.wrong = {}, {}, {}, []
        self.lock = threading.Lock()

    def make(self, op, *fields, rid=None, at=None, signed=True):
        body = cbor2.dumps([1, op, rid or os.urandom(16), now_ms() if at is None else at, self.id["id"] if signed else "", *fields], canonical=True)
        signature = self.key.sign(b"countersign-tee-request-1\n" + body) if signed else b""
        return cbor2.dumps([body, signature, []], canonical=True)

    def sign_call(self, record, text, **more):
        return self.make(SIGN, record, K1, 0, hashlib.sha256(text.encode()).digest(), **more)

    def send(self, call, timeout=20):
        """the code, and the reply when there is one; LOST: the connection gave nothing"""
        try:
            c = http.client.HTTPConnection("127.0.0.1", self.stack.http, timeout=timeout)
            c.request("POST", "/v1/tee/call", json.dumps({"call": base64.b64encode(call).decode()}), {"content-type": "application/json"})
            got = json.loads(c.getresponse().read())
            c.close()
        except (OSError, ValueError, http.client.HTTPException):
            return "LOST", None
        if "reply" not in got:
            return got.get("code", "?"), None
        reply = base64.b64decode(got["reply"])
        self.remember(call, reply)
        return cbor2.loads(reply)[0], reply

    def remember(self, call, reply):
        _, op, rid, _, who, *fields = cbor2.loads(cbor2.loads(call)[0])
        r = cbor2.loads(reply)
        with self.lock:
            if who and self.answered.setdefault(rid, (call, reply))[1] != reply:
                self.wrong.append(f"request {rid.hex()} has two answers")
            if op == SIGN:
                signature, _, public = cbor2.loads(r[2])
                if self.signatures.setdefault((fields[0], fields[3]), signature) != signature:
                    self.wrong.append(f"{fields[0]} signed twice, with different results")
                self.verify(public, fields[3], signature)
            if op in (SIGN, GENERATE, PUBLIC_KEY):
                public = cbor2.loads(r[2])[2 if op == SIGN else 0]
                if self.public.setdefault(fields[0], public) != public:
                    self.wrong.append(f"{fields[0]} has another key now")

    def same_signature(self, record, text, reply):
        known = self.signatures[(record, hashlib.sha256(text.encode()).digest())]
        return [] if reply[0] == "OK" and cbor2.loads(reply[2])[0] == known else [f"{reply[0]}, or another signature"]

    def verify(self, public, digest, signature):
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), public)
        der = utils.encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
        try:
            point.verify(der, digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
        except InvalidSignature:
            self.wrong.append("a signature does not verify")

    def direct(self, call):
        """straight to the enclave, with the rows of the store attached; the reply's list"""
        _, _, _, _, _, record, *_ = cbor2.loads(cbor2.loads(call)[0])
        row = sqlite_rows(self.stack.store[7:], "SELECT version, kms_key_id, data_key_ciphertext, ciphertext_blob, public_key FROM keys "
                          f"WHERE id = '{record}'")[0]
        attached = {"rows": [[record, "OK", row[0], row[1], base64.b64decode(row[2]), base64.b64decode(row[3]), K1, bytes.fromhex(row[4])]]}
        with grpc.insecure_channel(f"127.0.0.1:{self.stack.service_port}") as channel:
            raw = channel.unary_unary("/countersign.v1.TeeCore/Call")(field(1, call) + field(3, cbor2.dumps(attached, canonical=True)), timeout=20)
        return cbor2.loads(unfield(raw))

    def until_ok(self, call, seconds=60):
        """the same bytes until they are answered; the codes on the way"""
        codes, end = [], time.monotonic() + seconds
        while True:
            code, _ = self.send(call)
            codes.append(code)
            if code == "OK" or time.monotonic() > end:
                return codes
            time.sleep(0.2)

    def signctl(self, *args, stdin=b""):
        f = self.stack.facts
        done = subprocess.run([f"{BIN}/signctl", "tee", *args, "-g", f"tcp:127.0.0.1:{self.stack.grpc}", "-i", self.file, "--root", self.stack.emu["nsm_root"],
                               "--allowed", f"{f['PCR0']}:{f['PCR1']}:{f['PCR2']}"], input=stdin, capture_output=True, timeout=120)
        return done.returncode, done.stdout, done.stderr


class Load:
    """Callers that go on signing while something happens: each request again, with the same bytes, until it is answered."""

    def __init__(self, caller, record, threads=4):
        self.caller, self.record, self.stop, self.done, self.lost, self.codes = caller, record, False, 0, [], {}
        self.threads = [threading.Thread(target=self.work, args=(i,), daemon=True) for i in range(threads)]
        for t in self.threads:
            t.start()

    def work(self, i):
        n = 0
        while not self.stop:
            n += 1
            call = self.caller.sign_call(self.record, f"load {i} {n % 7}")
            codes = self.caller.until_ok(call, 50)
            with self.caller.lock:
                for code in codes:
                    self.codes[code] = self.codes.get(code, 0) + 1
            if codes[-1] == "OK":
                self.done += 1
            else:
                self.lost.append(codes[-1])
            time.sleep(0.02)

    def end(self):
        self.stop = True
        for t in self.threads:
            t.join(60)
        return [f"lost under load: {self.lost}"] if self.lost or any(t.is_alive() for t in self.threads) else []


def patterns(secret):
    """a secret as it could be written: itself, hex, base64 at each alignment"""
    out = [secret, secret.hex().encode(), secret.hex().upper().encode()]
    for shift in range(3):
        text = base64.b64encode(bytes(shift) + secret)
        out.append(text[4:-4] if shift else text[:-4])
    return out


def written(folder, secrets, skip=()):
    """files under folder that hold one of the secrets"""
    found, looked = [], [p for s in secrets for p in patterns(s)]
    for base, folders, names in os.walk(folder):
        folders[:] = [d for d in folders if os.path.join(base, d) not in skip]
        for name in names:
            path = os.path.join(base, name)
            if path in skip or not os.path.isfile(path):
                continue
            with open(path, "rb") as f:
                data = f.read()
            found += [path for p in looked if p in data]
    return found


def limit_files(pid, size):
    """a disk that is full, as far as this process goes: no file may become larger (-1: no limit)"""
    limit = resource.RLIM_INFINITY if size < 0 else size
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


def sqlite_rows(path, query):
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        return db.execute(query).fetchall()
    finally:
        db.close()
