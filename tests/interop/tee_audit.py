#!/usr/bin/python3
"""signctl audit verify against logs that Python makes (tee_fake.py): a whole one is proven, each line that is edited, removed, swapped, doubled or put
in another's place is named, a cut tail is found with --head; and 100,000 entries a second."""
import base64
import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SIGNCTL = os.path.join(os.environ.get("COUNTERSIGN_BIN", HERE.parents[1] / "build/bin"), "signctl")
try:
    import cbor2
    import cryptography  # noqa: F401
    import grpc  # noqa: F401
except ImportError as e:
    print(f"skip tee_audit ({e.name}: python3-cbor2, python3-cryptography, python3-grpcio)")
    sys.exit(77)

failed = False


def check(name, ok, detail=""):
    global failed
    failed = failed or not ok
    print(f"ok {name}" if ok else f"not ok {name} ({detail})", flush=True)


class Log:
    def __init__(self, folder, count):
        self.folder = pathlib.Path(folder)
        subprocess.run([sys.executable, HERE / "tee_fake.py", folder, "--log", str(count)], check=True)
        self.lines = (self.folder / "audit").read_text().splitlines(keepends=True)
        self.head = (self.folder / "head").read_text()

    def verify(self, lines, *options, pcrs=("--any-pcrs",)):
        path = self.folder / "shown"
        path.write_text("".join(lines))
        out = subprocess.run([SIGNCTL, "audit", "verify", path, "--root", self.folder / "root.pem", "--json", *pcrs, *options],
                             capture_output=True, text=True)
        return out.returncode, json.loads(out.stdout), out.stderr

    def refused(self, lines, *options, **more):
        """(code, line that is named, what)"""
        status, out, _ = self.verify(lines, *options, **more)
        if status != 1 or "code" not in out:
            return None, None, out
        detail = out.get("detail", "")
        line = int(detail.split(", line ")[1].split(":")[0]) if ", line " in detail else 0
        return out["code"], line, detail


def entry_lines(lines):
    return [i for i, line in enumerate(lines) if '"entry"' in line]


def edited(line, member, at):
    """The line with one bit changed in a member's bytes."""
    o = json.loads(line)
    b = bytearray(base64.b64decode(o[member]))
    b[at % len(b)] ^= 1
    return json.dumps(o | {member: base64.b64encode(b).decode()}) + "\n"


def test_edited(log):
    for member, step in (("entry", 7), ("signature", 5)):
        bad = []
        for i in entry_lines(log.lines):
            for at in range(i, 512 if member == "entry" else 64, 64 * step // 8):
                shown = log.lines[:i] + [edited(log.lines[i], member, at)] + log.lines[i + 1 :]
                code, line, what = log.refused(shown)
                if code != "AUDIT_CHAIN" or line != i + 1:
                    bad.append((i + 1, at, code, line, what))
        check(f"edited-{member}-is-named", not bad, bad[:3])
    text = [log.refused(log.lines[:5] + [t] + log.lines[6:])[:2] for t in (
        log.lines[5][:-2] + "\n", log.lines[5].replace("entry", "Entry", 1), "\n", "{}\n", log.lines[5][:-2] + ',"x":""}\n', "\0\n",
        log.lines[5].replace('"kind"', '"kind": "entry", "kind"'))]
    check("edited-text-is-named", all(t == ("AUDIT_CHAIN", 6) for t in text), text)


def test_edited_and_chained_again(log, first):
    """Somebody without the key edits a line and makes all hashes behind it fit."""
    import hashlib

    shown, previous = list(log.lines), None
    for i in entry_lines(log.lines):
        o = json.loads(shown[i])
        entry = cbor2.loads(base64.b64decode(o["entry"]))
        if i == first:
            entry[9] = "wallet-other"
        if i > first and entry[1] > 1 and previous:
            entry[3] = previous
        if i > first and entry[1] == 1:
            break
        raw = cbor2.dumps(entry)
        if i >= first:
            previous = hashlib.sha256(b"countersign-audit-link-1\n" + raw + base64.b64decode(o["signature"])).digest()
            shown[i] = json.dumps(o | {"entry": base64.b64encode(raw).decode()}) + "\n"
    result = log.refused(shown)
    check("edited-and-chained-again-is-named", result[:2] == ("AUDIT_CHAIN", first + 1), result)


def test_order(log):
    entries = entry_lines(log.lines)
    removed, swapped, doubled, moved = [], [], [], []
    for i in entries:
        last = i + 1 not in entries
        r = log.refused(log.lines[:i] + log.lines[i + 1 :], "--head", log.head)
        if r[0] != "AUDIT_CHAIN" or (not last and r[1] != i + 1):
            removed.append((i + 1, r))
        if not last:
            r = log.refused(log.lines[:i] + [log.lines[i + 1], log.lines[i]] + log.lines[i + 2 :])
            if r[:2] != ("AUDIT_CHAIN", i + 1) or "swapped" not in r[2]:
                swapped.append((i + 1, r))
        r = log.refused(log.lines[: i + 1] + [log.lines[i]] + log.lines[i + 1 :])
        if r[:2] != ("AUDIT_CHAIN", i + 2) or "doubled" not in r[2]:
            doubled.append((i + 1, r))
        r = log.refused(log.lines[:i] + log.lines[i + 1 :] + [log.lines[i]]) if not last else ("AUDIT_CHAIN", 0)
        if r[0] != "AUDIT_CHAIN":
            moved.append((i + 1, r))
    # the last entry of the first boot leaves no trace in the log: only a head of that boot tells
    removed = [r for r in removed if r[0] != entries[len(entries) // 2 - 1] + 1]
    check("removed-line-is-named", not removed, removed[:3])
    check("swapped-lines-are-named", not swapped, swapped[:3])
    check("doubled-line-is-named", not doubled, doubled[:3])
    check("moved-line-is-found", not moved, moved[:3])


def test_tail(log):
    short = log.lines[:-1]
    check("cut-tail-is-found-with-head", log.refused(short, "--head", log.head)[:2] == ("AUDIT_CHAIN", 0) and log.verify(short)[0] == 0)
    counter, digest = log.head.split(":")
    wrong = f"{counter}:{'0' * 64}"
    check("another-head-is-refused", log.refused(log.lines, "--head", wrong)[0] == "AUDIT_CHAIN")
    check("bad-head-is-usage", log.verify_status("--head", "7") == 2 and log.verify_status("--head", "7:zz") == 2)


def test_from(log):
    entries = entry_lines(log.lines)
    second = entries[len(entries) // 2 :]
    at = second[4]
    status, out, _ = log.verify(log.lines[: at + 1])
    check("head-of-a-part", status == 0 and out["counter"] == 5, out)
    shown = [log.lines[second[0] - 1]] + log.lines[at + 1 :]
    head = f"{out['counter']}:{out['head']}"
    check("part-needs-from", log.refused(shown)[:2] == ("AUDIT_CHAIN", 2) and log.verify(shown, "--from", head)[0] == 0)


def test_documents(log):
    documents = [i for i, line in enumerate(log.lines) if '"document"' in line]
    at = documents[1]
    without = log.lines[:at] + log.lines[at + 1 :]
    r = log.refused(without)
    check("no-document", r[:2] == ("AUDIT_CHAIN", at + 1), r)
    path = log.folder / "document.bin"
    path.write_bytes(base64.b64decode(json.loads(log.lines[at])["document"]))
    check("document-beside-the-log", log.verify(without, "--document", path)[0] == 0)
    r = log.refused(log.lines[:at] + [edited(log.lines[at], "document", 1500)] + log.lines[at + 1 :])
    check("edited-document-is-named", r[0].startswith("ATT_") and r[1] == at + 1, r)
    pcr = lambda b: f"{b:02x}" * 48  # noqa: E731
    right, wrong = ":".join(map(pcr, (1, 2, 3))), ":".join(map(pcr, (1, 2, 4)))
    check("allowed-image", log.verify(log.lines, pcrs=("--allowed", wrong, "--allowed", right))[0] == 0)
    check("another-image-is-refused", log.refused(log.lines, pcrs=("--allowed", wrong))[:2] == ("ATT_PCR", 1))
    check("no-policy-is-refused", log.refused(log.lines, pcrs=())[0] == "ATT_NO_POLICY")
    check("empty-log-is-refused", log.refused(log.lines[:1])[0] == "AUDIT_CHAIN")


def main():
    Log.verify_status = lambda self, *options: subprocess.run(
        [SIGNCTL, "audit", "verify", self.folder / "audit", "--root", self.folder / "root.pem", "--any-pcrs", *options], capture_output=True).returncode
    with tempfile.TemporaryDirectory(prefix="cs-tee-audit.") as folder:
        log = Log(folder, 24)
        status, out, err = log.verify(log.lines, "--head", log.head)
        check("whole-log-is-proven", status == 0 and out["entries"] == 24 and out["boots"] == 2 and out["heads_found"] == 1, (out, err))
        check("all-signatures", log.verify(log.lines, "--all-signatures")[0] == 0)
        for test in (test_edited, test_order, test_tail, test_from, test_documents):
            test(log)
        test_edited_and_chained_again(log, entry_lines(log.lines)[3])
    with tempfile.TemporaryDirectory(prefix="cs-tee-audit.") as folder:
        log = Log(folder, 60000)
        best = max(60000 / log.verify(log.lines)[1]["seconds"] for _ in range(3))
        print(f"# {best:.0f} entries a second")
        check("hundred-thousand-a-second", best >= 100000, best)
    sys.exit(failed)


main()
