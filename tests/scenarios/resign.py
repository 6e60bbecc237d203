"""resign.py IN OUT PUBLISHER_KEY GENERATION [BROKEN_ACCOUNT]: a plaintext share file with another generation and, when an account is
named, with a share of zero in it - out of range, but hashed and signed as it should be: only parsing finds it."""
import hashlib
import os
import re
import subprocess
import sys
import tempfile

source, target, key, generation = sys.argv[1:5]
seed = bytes.fromhex(open(key, encoding="ascii").read().strip())
head, body = open(source, "rb").read().split(b"\n", 1)
if len(sys.argv) == 6:
    at = body.index(b'\n"%s":' % sys.argv[5].encode())
    share = body.index(b'"share":"', at) + 9
    assert share - at < 1000
    body = body[:share] + b"0" * 64 + body[share + 64:]
publisher = re.search(rb" publisher=([0-9a-f]{64}) ", head).group(1).decode()
line = f"countersign-shares/1 generation={generation} publisher={publisher} sha256={hashlib.sha256(body).hexdigest()}"
with tempfile.TemporaryDirectory() as d:
    with open(f"{d}/k", "wb") as f:
        f.write(bytes.fromhex("302e020100300506032b657004220420") + seed)  # PKCS #8 of an Ed25519 key
    with open(f"{d}/m", "w", encoding="ascii") as f:
        f.write(line)
    sig = subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", f"{d}/k", "-keyform", "DER", "-in", f"{d}/m"],
                         check=True, capture_output=True).stdout
with open(target, "wb", opener=lambda p, f: os.open(p, f, 0o600)) as f:
    f.write(f"{line} sig={sig.hex()}\n".encode() + body)
