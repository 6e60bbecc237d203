#!/usr/bin/python3
"""Faults of the TEE service, through the programs: KMS that is down, slow, throttling, denying or lying; another image at the start and midway;
calls that are late at each stage; databases that are down, busy or full; programs that are killed; clocks that jump; requests that are doubled,
reordered and replayed. After each: what was answered is answered again with the same bytes, nothing is signed with two results, no secret is
written anywhere, and calls go on without anybody's help (programs that ended are started again, as systemd does).
Memory that runs out in core: tests/core/tee_life_test.c. Arguments: parts of names of the cases to run (all)."""
# limit: 900
import importlib.util
import os
import signal
import sys
import threading
import time

spec = importlib.util.spec_from_file_location("tee_stack", os.path.join(os.path.dirname(os.path.abspath(__file__)), "tee_stack.py"))
t = importlib.util.module_from_spec(spec)
spec.loader.exec_module(t)  # ends with 77 without what it needs
MARK = b"plaintext-" + os.urandom(8).hex().encode() + b"-that-nobody-may-see"
IMPORTED = t.hashlib.sha256(MARK).digest()
failed = False


class Suite:
    def __init__(self):
        self.s = t.Stack()
        self.c = t.Caller(self.s)
        self.pg = None

    # ---- what holds after each fault

    def case(self, name, body):
        """body gives a list of what was wrong"""
        if len(sys.argv) > 1 and not any(a in name for a in ["serves", *sys.argv[1:]]):
            return
        began = time.monotonic()
        try:
            wrong = body() or []
        except Exception as e:  # a test that breaks has failed
            wrong = [repr(e)]
        try:
            self.s.fault()
            self.s.to_kms.release()
            self.s.to_service.release()
            self.clock(0)
            wrong += self.settled(name)
        except Exception as e:
            wrong.append(repr(e))
        global failed
        failed = failed or bool(wrong)
        print(f"# {name}: {time.monotonic() - began:.1f} s, {self.holes()} holes in the audit log", flush=True)
        print(f"ok {name}" if not wrong else f"not ok {name} ({'; '.join(map(str, wrong))[:600]})", flush=True)
        if wrong:
            for log in ("gateway.log", "host.log", "host/enclave.log"):
                if os.path.exists(f"{self.s.run}/{log}"):
                    print("".join(f"# {line}" for line in open(f"{self.s.run}/{log}", errors="replace").readlines()[-6:]))

    def settled(self, name):
        c, wrong = self.c, []
        codes = c.until_ok(c.sign_call("wallet-1", f"after {name}"), 50)
        if codes[-1] != "OK":
            return [f"calls do not go on: {codes[-3:]}"]
        for call, reply in list(c.answered.values())[-60:]:  # nothing that was answered is lost
            codes = c.until_ok(call, 10)
            if codes != ["OK"]:
                wrong.append(f"answered before, now {codes[-1]}")
        for record in list(c.public):
            if c.until_ok(c.make(t.PUBLIC_KEY, record, signed=False), 10)[-1] != "OK":
                wrong.append(f"{record} is lost")
        status, out, err = c.signctl("unseal", "secret-1")
        if (status, out) != (0, MARK):
            wrong.append(f"unseal: {err[-200:]}")
        private = [f"{self.s.run}/callers", f"{self.s.run}/shares", f"{self.s.run}/age-private.key", f"{self.s.run}/publisher.key"]
        for folder in [self.s.run] + ([self.pg.dir] if self.pg else []):
            wrong += [f"a secret is in {p}" for p in t.written(folder, [MARK, IMPORTED, bytes.fromhex(c.id["ed25519_seed"])], private)]
        wrong += c.wrong
        c.wrong = []
        return wrong

    def first(self):
        c = self.c
        wrong = [f"generate {r}: {codes}" for r in ("wallet-1", "wallet-2") if (codes := c.until_ok(c.make(t.GENERATE, r, t.K1)))[-1] != "OK"]
        for argv, stdin in ((("seal", "secret-1"), MARK), (("import", "wallet-imported", "-a", "ecdsa-secp256k1", "--private-key", "-"), IMPORTED.hex().encode())):
            status, _, err = c.signctl(*argv, stdin=stdin)
            if status:
                wrong.append(f"{argv[0]}: {err[-200:]}")
        return wrong

    def serving(self, seconds=60):
        return self.c.until_ok(self.c.sign_call("wallet-1", "serving"), seconds)[-1] == "OK"

    def refused(self, call, codes):
        code, _ = self.c.send(call)
        return [] if code in codes else [f"{code} instead of {codes}"]

    # ---- KMS

    def kms(self, order, codes):
        """a fault that is named, of a Sign and of a Generate; a key whose making failed is not there"""
        self.s.fault(**order)
        new = f"new-{len(self.c.answered)}"
        wrong = self.refused(self.c.sign_call("wallet-1", str(order)), codes)
        wrong += self.refused(self.c.make(t.GENERATE, new, t.K1), codes)
        self.s.fault()
        wrong += self.refused(self.c.make(t.PUBLIC_KEY, new, signed=False), ["NOT_FOUND"])
        return wrong + ([] if self.c.until_ok(self.c.make(t.GENERATE, new, t.K1), 30)[-1] == "OK" else ["not made afterwards"])

    def kms_forged(self):
        """a data key that is none: a Sign does not open its row, and nothing is sealed with a new one, be it forged once only"""
        self.s.fault(fault="forged")
        wrong = self.refused(self.c.sign_call("wallet-1", "forged"), ["SEAL_OPEN"])
        wrong += self.refused(self.c.make(t.GENERATE, "wallet-forged", t.K1), ["KMS_ANSWER"])
        self.s.fault(fault="forged", times=1)
        return wrong + self.refused(self.c.make(t.GENERATE, "wallet-forged", t.K1), ["KMS_ANSWER"])

    def kms_slow(self):
        self.s.fault(fault="slow", milliseconds=1000)
        load = t.Load(self.c, "wallet-1", 6)
        time.sleep(4)
        return load.end() + ([] if load.done > 6 else [f"only {load.done} calls"])

    def kms_late(self):
        """slower than the gateway waits: TEE_TIMEOUT; the same bytes get their result"""
        call = self.c.sign_call("wallet-1", "late")
        self.s.fault(fault="slow", milliseconds=8000, times=1)
        wrong = self.refused(call, ["TEE_TIMEOUT"])
        codes = self.c.until_ok(call, 30)
        return wrong + ([] if codes[-1] == "OK" else [f"afterwards {codes[-1]}"])

    def kms_silent(self):
        """its connections take requests and give nothing"""
        call = self.c.sign_call("wallet-1", "silent")
        self.s.to_kms.hold()
        wrong = self.refused(call, ["TEE_TIMEOUT"])
        self.s.to_kms.cut()
        self.s.to_kms.release()
        codes = self.c.until_ok(call, 40)
        return wrong + ([] if codes[-1] == "OK" else [f"afterwards {codes[-1]}"])

    def kms_gone(self):
        """nobody takes connections"""
        self.s.to_kms.refuse = True
        self.s.to_kms.cut()
        try:
            return self.refused(self.c.sign_call("wallet-1", "gone"), ["CLOSED", "CONNECT", "KMS_UNAVAILABLE", "TLS"])
        finally:
            self.s.to_kms.refuse = False

    # ---- another image

    def image(self, name, pcr0):
        self.s.shell(f"key_bind {pcr0}")
        self.s.image = name
        self.s.host.again()

    def gated(self, at_once=True):
        """the gate closes, and until then nothing was done (at_once), and it stays closed"""
        codes = []
        t.wait_for(lambda: codes.append(self.c.send(self.c.sign_call("wallet-1", "gated"))[0]) or codes[-1] == "TEE_GATE", 60)
        codes.append(self.c.send(self.c.sign_call("wallet-1", "gated"))[0])
        return [] if codes[-2:] == ["TEE_GATE"] * 2 and not (at_once and "OK" in codes) else [f"gate: {codes[-3:]}"]

    def log_is_readable(self):
        before = len(t.sqlite_rows(self.s.store[7:], "SELECT entry FROM tee_audit"))
        return [] if before > 0 else ["the audit log cannot be read"]

    def image_midway(self):
        self.image("other", self.s.facts["OTHER"])
        wrong = self.gated() + self.log_is_readable()
        wrong += self.refused(self.c.make(t.GENERATE, "wallet-gated", t.K1), ["TEE_GATE"])
        self.image("image", self.s.facts["PCR0"])
        return wrong + ([] if self.serving() else ["the gate stays closed"])

    def image_at_start(self):
        self.s.gateway.end()
        self.image("other", self.s.facts["OTHER"])
        self.s.gateway.begin()
        wrong = self.gated() + self.log_is_readable()
        self.image("image", self.s.facts["PCR0"])
        return wrong + ([] if self.serving() else ["the gate stays closed"])

    # ---- late, cut and killed

    def service_silent(self):
        """core signs and its reply does not come: TEE_TIMEOUT, then the same bytes"""
        call = self.c.sign_call("wallet-1", "held")
        self.s.to_service.hold()
        wrong = self.refused(call, ["TEE_TIMEOUT"])
        self.s.to_service.release()
        codes = self.c.until_ok(call, 40)
        return wrong + ([] if codes[-1] == "OK" else [f"afterwards {codes[-1]}"])

    def service_cut(self):
        call = self.c.sign_call("wallet-1", "cut")
        load = t.Load(self.c, "wallet-1")
        for _ in range(4):
            time.sleep(0.5)
            self.s.to_service.cut()
        codes = self.c.until_ok(call, 40)
        return load.end() + ([] if codes[-1] == "OK" else [f"afterwards {codes[-1]}"])

    def killed(self, kill):
        load = t.Load(self.c, "wallet-2")
        time.sleep(1)
        kill()
        t.wait_for(lambda: False, 1)
        wrong = [] if self.serving(60) else ["does not serve again"]
        return wrong + load.end()

    def kill_program(self, name):
        pid = self.s.enclave_pid(name)
        if pid is None:
            raise RuntimeError(f"no {name}")
        os.kill(pid, 9)

    def in_time(self, record, op=None):
        """a call that core has done and whose reply has not reached the gateway: it is killed then"""
        call = self.c.sign_call(record, f"between {time.time()}") if op is None else op
        self.s.to_service.hold()
        got = []
        th = threading.Thread(target=lambda: got.append(self.c.send(call)))
        th.start()
        done = t.wait_for(lambda: self.s.to_service.held > 100, 10)
        return call, th, done

    def killed_before_storing(self):
        calls = [self.c.sign_call("wallet-1", "between"), self.c.make(t.GENERATE, f"between-{os.getpid()}", t.K1)]
        wrong = []
        for call in calls:
            _, th, done = self.in_time("", call)
            wrong += [] if done else ["core did not answer"]
            self.s.gateway.kill()
            self.s.to_service.cut()
            self.s.to_service.release()
            th.join()
            codes = self.c.until_ok(call, 40)
            wrong += [] if codes[-1] == "OK" else [f"afterwards {codes[-1]}"]
        return wrong


    # ---- databases

    def sqlite_busy(self):
        """another process has the file for longer than a statement waits"""
        load = t.Load(self.c, "wallet-1")
        time.sleep(0.5)
        db = t.sqlite3.connect(self.s.store[7:], isolation_level=None, timeout=10)
        db.execute("BEGIN IMMEDIATE")
        time.sleep(4)
        db.execute("ROLLBACK")
        db.close()
        return load.end()

    def killed_amid_storing(self):
        """core has signed, the gateway tries to store it, and is killed; the file is free again afterwards"""
        call, th, done = self.in_time("wallet-1")
        db = t.sqlite3.connect(self.s.store[7:], isolation_level=None, timeout=10)
        db.execute("BEGIN IMMEDIATE")
        self.s.to_service.release()
        time.sleep(0.5)
        self.s.gateway.kill()
        db.execute("ROLLBACK")
        db.close()
        th.join()
        codes = self.c.until_ok(call, 40)
        return ([] if done else ["core did not answer"]) + ([] if codes[-1] == "OK" else [f"afterwards {codes[-1]}"])

    def disk_full(self):
        pid, starts = self.s.gateway.process.pid, self.s.gateway.starts
        calls = [self.c.sign_call("wallet-1", "no room"), self.c.make(t.GENERATE, "no-room", t.K1)]
        t.limit_files(pid, 0)
        wrong = [w for call in calls for w in self.refused(call, ["STORE", "TEE_TIMEOUT"])]
        t.limit_files(pid, -1)
        wrong += [f"afterwards {codes[-1]}" for call in calls if (codes := self.c.until_ok(call, 40))[-1] != "OK"]
        return wrong + ([] if self.s.gateway.starts == starts else ["the gateway ended"])

    def disk_full_when_signed(self):
        """core has signed when the disk is full: stored when there is room again, without a second signature"""
        call, th, done = self.in_time("wallet-1")
        entries = self.entries()
        t.limit_files(self.s.gateway.process.pid, 0)
        self.s.to_service.release()
        time.sleep(1.5)
        wrong = [] if done and self.entries() == entries else ["stored on a full disk"]
        t.limit_files(self.s.gateway.process.pid, -1)
        th.join()
        codes = self.c.until_ok(call, 40)
        wrong += [] if codes[-1] == "OK" else [f"afterwards {codes[-1]}"]
        return wrong + ([] if self.entries() == entries + 1 else [f"{self.entries() - entries} entries"])

    def on_postgres(self):
        self.s.gateway.end()
        self.s.store, self.c = self.pg.dsn, t.Caller(self.s)
        self.s.gateway.begin()
        return self.first()

    def pg_down(self):
        load = t.Load(self.c, "wallet-1")
        time.sleep(1)
        self.pg.stop()
        self.pg.proxy.cut()
        wrong = self.refused(self.c.sign_call("wallet-1", "down"), ["STORE", "TEE_TIMEOUT"])
        self.pg.start()
        return wrong + load.end()

    def pg_crash(self):
        load = t.Load(self.c, "wallet-1")
        time.sleep(1)
        self.pg.stop("immediate")
        self.pg.start()
        return load.end()

    def pg_commit(self, order, kill=False):
        """the n-th COMMIT of a call is lost on the way, or its answer is; with kill the gateway ends meanwhile"""
        wrong, fired = [], []
        for n in (1, 2, 3):
            seen = []

            def watch(data):
                if b"COMMIT" not in data or fired[-1:] == [n]:
                    return None
                seen.append(1)
                if len(seen) != n:
                    return None
                fired.append(n)
                if kill and order == "drop":
                    self.s.gateway.kill()
                return order
            for call in (self.c.sign_call("wallet-1", f"{order} {n} {kill}"), self.c.make(t.GENERATE, f"{order}-{n}-{kill}", t.K1)):
                del seen[:]
                fired.append(0)
                self.pg.proxy.watch = watch
                got = []
                th = threading.Thread(target=lambda c=call: got.append(self.c.send(c)[0]))
                th.start()
                if kill and order == "mute" and t.wait_for(lambda: fired[-1] == n, 3):
                    self.s.gateway.kill()
                th.join()
                self.pg.proxy.watch = None
                codes = self.c.until_ok(call, 40)
                wrong += [] if codes[-1] == "OK" else [f"COMMIT {n}: {got[0]}, afterwards {codes[-1]}"]
        return wrong + ([] if sum(f > 0 for f in fired) >= 2 else [f"fired {fired}"])

    def pg_deadlock(self):
        before = self.pg.logged("deadlock detected")
        load = t.Load(self.c, "wallet-1", 8)
        for _ in range(3):
            time.sleep(0.3)
            self.pg.psql("BEGIN; SET LOCAL deadlock_timeout = '60s'; LOCK TABLE tee_audit IN SHARE ROW EXCLUSIVE MODE; SELECT pg_sleep(0.7); "
                         "LOCK TABLE tee_requests IN ACCESS EXCLUSIVE MODE; COMMIT")
        return load.end() + ([] if self.pg.logged("deadlock detected") > before else ["no deadlock happened"])

    def pg_locked(self):
        load = t.Load(self.c, "wallet-1")
        self.pg.psql("BEGIN; LOCK TABLE tee_requests, keys IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(4); COMMIT")
        return load.end()

    # ---- clocks

    def clock(self, seconds):
        with open(f"{self.s.run}/clock.new", "w") as f:
            f.write(f"{seconds:+d}\n")
        os.rename(f"{self.s.run}/clock.new", f"{self.s.run}/clock")

    def gateway_clock(self):
        lib = next(iter(t.glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), None)
        if lib is None:
            raise RuntimeError("the package faketime is not installed")
        self.clock(0)
        self.s.gateway_env = {"LD_PRELOAD": lib, "FAKETIME_TIMESTAMP_FILE": f"{self.s.run}/clock", "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                              "DONT_FAKE_MONOTONIC": "1", "APP_TEE_GATERECHECKSECONDS": "1"}
        self.s.gateway.again()
        wrong = [] if self.serving() else ["does not serve"]
        for seconds in (7200, -7200):
            call = self.c.sign_call("wallet-1", f"clock {seconds}")
            self.clock(seconds)
            wrong += self.gated(at_once=False)
            self.clock(0)
            wrong += [f"clock {seconds}: {codes[-1]}" for codes in [self.c.until_ok(call, 40)] if codes[-1] != "OK"]
        for seconds in (20, -20, 0, 40, -40, 0):  # little enough: nothing happens
            self.clock(seconds)
            time.sleep(1.2)
            wrong += self.refused(self.c.sign_call("wallet-1", f"clock {seconds}"), ["OK"])
        return wrong

    def without_clock(self):
        self.s.gateway_env = {}
        self.s.gateway.again()

    def caller_clock(self):
        wrong = []
        for i in range(40):
            wrong += self.refused(self.c.sign_call("wallet-1", f"there {i % 5}", at=t.now_ms() + (45000 if i % 2 else -45000)), ["OK"])
            if i % 10 == 0:
                for off in (90000, -90000, 10**9, -10**9):
                    wrong += self.refused(self.c.sign_call("wallet-1", f"there {i % 5}", at=t.now_ms() + off), ["REQUEST_TIME"])
        return wrong

    # ---- requests again

    def entries(self):
        return t.sqlite_rows(self.s.store[7:], "SELECT count(*) FROM tee_audit")[0][0]

    def holes(self):
        """entries that this boot of core made and the store has not: of calls whose gateway ended before it had their reply"""
        query = "SELECT coalesce(max(counter) - count(*), 0) FROM tee_audit WHERE boot = (SELECT boot FROM tee_audit ORDER BY created_at DESC LIMIT 1)"
        return int(self.pg.psql(query).stdout) if self.s.store == getattr(self.pg, "dsn", "") else t.sqlite_rows(self.s.store[7:], query)[0][0]

    def whole(self):
        """entries whose reply was lost are fetched from core again"""
        return [] if t.wait_for(lambda: self.holes() == 0, 40) else [f"{self.holes()} entries are missing"]

    def doubled(self):
        """the same call at once, many times: one answer, one entry"""
        call, before, got = self.c.sign_call("wallet-1", "doubled"), self.entries(), []
        threads = [threading.Thread(target=lambda: got.append(self.c.send(call))) for _ in range(16)]
        for th in threads:
            th.start()
        for th in threads:
            th.join()
        wrong = [] if len(got) == 16 and {code for code, _ in got} == {"OK"} and len({reply for _, reply in got}) == 1 else [f"{[g[0] for g in got]}"]
        return wrong + ([] if self.entries() == before + 1 else [f"{self.entries() - before} entries"])

    def reordered(self):
        """of calls made one after the other, the last comes first"""
        calls = [self.c.sign_call("wallet-1", f"order {i}", at=t.now_ms() - 20000 + 1000 * i) for i in range(20)]
        return [w for call in reversed(calls) for w in self.refused(call, ["OK"])]

    def same_id(self):
        """another request under the id: after the first, while it is under way, and straight to the enclave"""
        rid = os.urandom(16)
        first, other = (self.c.sign_call("wallet-1", text, rid=rid) for text in ("first", "other"))
        wrong = self.refused(first, ["OK"]) + self.refused(other, ["REQUEST_REPLAY"]) + self.refused(first, ["OK"])
        wrong += [] if (code := self.c.direct(other)[0]) == "REQUEST_REPLAY" else [f"core: {code}"]
        rid = os.urandom(16)
        first, other = (self.c.sign_call("wallet-1", text, rid=rid) for text in ("first", "other"))
        _, th, _ = self.in_time("", first)
        wrong += self.refused(other, ["REQUEST_REPLAY"])
        self.s.to_service.release()
        th.join()
        return wrong + self.refused(first, ["OK"])

    def captured(self):
        """a call that somebody has kept goes to the enclave again: the same signature within the window, nothing behind it"""
        call = self.c.sign_call("wallet-1", "captured", at=t.now_ms() - 50000)
        wrong = self.refused(call, ["OK"])
        again = self.c.direct(call)
        wrong += self.c.same_signature("wallet-1", "captured", again)
        time.sleep(14)
        late = self.c.direct(call)
        wrong += [] if (again[0], late[0], late[2]) == ("OK", "REQUEST_TIME", b"") else [f"{again[0]}, then {late[0]}"]
        return wrong + self.refused(call, ["OK"])  # the gateway has its answer


def postgres(s):
    s.pg = t.Server()
    if s.pg.bin is None:
        s.pg = None
        print("skip postgres (the package postgresql is not installed)")
        return
    try:
        s.case("postgres-serves", s.on_postgres)
        s.case("postgres-down", s.pg_down)
        s.case("postgres-crash", s.pg_crash)
        s.case("postgres-locked", s.pg_locked)
        s.case("postgres-deadlock", s.pg_deadlock)
        for order in ("drop", "mute"):
            s.case(f"postgres-commit-{order}", lambda o=order: s.pg_commit(o))
            s.case(f"postgres-commit-{order}-gateway-killed", lambda o=order: s.pg_commit(o, True))
        s.case("postgres-audit-log-is-whole", s.whole)
    finally:
        s.s.gateway.end()
        s.pg.close()


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    s = Suite()
    try:
        s.case("serves", s.first)
        for name, codes in (("down", ["CLOSED", "KMS_UNAVAILABLE"]), ("throttle", ["KMS_THROTTLED"]), ("deny", ["KMS_DENIED"]), ("internal", ["KMS_UNAVAILABLE"]),
                            ("foreign-key", ["KMS_KEY_ID"]), ("garbled", ["CMS", "SEAL_OPEN"]), ("other-recipient", ["CMS", "CMS_KEY"]),
                            ("plaintext", ["KMS_PLAINTEXT"]), ("no-json", ["KMS_ANSWER"])):
            s.case(f"kms-{name}", lambda n=name, k=codes: s.kms({"fault": n}, k))
        s.case("kms-forged", s.kms_forged)
        s.case("kms-slow", s.kms_slow)
        s.case("kms-late", s.kms_late)
        s.case("kms-silent", s.kms_silent)
        s.case("kms-gone", s.kms_gone)
        s.case("image-midway", s.image_midway)
        s.case("image-at-start", s.image_at_start)
        s.case("service-silent", s.service_silent)
        s.case("service-cut", s.service_cut)
        for name in ("sign-kms", "sign-service", "sign-core"):
            s.case(f"{name}-killed", lambda n=name: s.killed(lambda: s.kill_program(n)))
        s.case("gateway-killed", lambda: s.killed(s.s.gateway.kill))
        s.case("gateway-killed-before-storing", s.killed_before_storing)
        s.case("gateway-killed-amid-storing", s.killed_amid_storing)
        s.case("audit-log-is-whole", s.whole)
        s.case("sqlite-busy", s.sqlite_busy)
        s.case("sqlite-disk-full", s.disk_full)
        s.case("sqlite-disk-full-when-signed", s.disk_full_when_signed)
        s.case("gateway-clock", s.gateway_clock)
        s.case("gateway-clock-right", s.without_clock)
        s.case("caller-clock", s.caller_clock)
        s.case("doubled", s.doubled)
        s.case("reordered", s.reordered)
        s.case("same-id", s.same_id)
        s.case("captured", s.captured)
        postgres(s)
    finally:
        s.s.close()
    sys.exit(1 if failed else 0)


main()
