"""Rows of the TEE service made outside the enclave, from the document only (docs/formats/tee.md, Envelope; docs/formats/store.md, Export file).
tee_rows.py make ROOT_HEX ARN NUM PER_KEY DATA_KEY... >FILE: an export of NUM ed25519 keys k0, k1, ..., PER_KEY under each data key (plain hex:ciphertext base64)."""
import base64
import hashlib
import json
import os
import struct
import sys

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def seal(root, arn, data_key, record, private):
    head = b"\x01" + hashlib.sha256(b"countersign-root-1" + root).digest()[:4] + b"\x03" + struct.pack(">I", 1)
    key = HKDF(hashes.SHA256(), 32, root, b"countersign-seal-1" + record.encode()).derive(data_key)
    names = b"".join(struct.pack(">H", len(s)) + s.encode() for s in (arn, record))
    nonce = os.urandom(12)
    return head + nonce + AESGCM(key).encrypt(nonce, private, b"countersign-envelope-1\n" + head + names + b"\x01")


def make(root, arn, num, per_key, data_keys):
    lines = [json.dumps({"format": "countersign-store-export-1", "created_at": "2026-01-02T03:04:05.678Z"}, separators=(",", ":"))]
    for i in range(num):
        plain, data_key = data_keys[i // per_key % len(data_keys)].split(":", 1)
        record = f"k{i}"
        private = hashlib.sha256(f"private {i}".encode()).digest()
        blob = seal(bytes.fromhex(root), arn, bytes.fromhex(plain), record, private)
        lines.append(json.dumps({"id": record, "ciphertext_blob": base64.b64encode(blob).decode(), "data_key_ciphertext": data_key, "kms_key_id": arn, "version": 1,
                                 "algorithm": "ed25519", "public_key": Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes(*RAW).hex(),
                                 "created_at": "2026-01-02T03:04:05.678Z"}, separators=(",", ":")))
    text = "\n".join(lines) + "\n"
    end = json.dumps({"rows": num, "sha256": hashlib.sha256(text.encode()).hexdigest()}, separators=(",", ":"))
    sys.stdout.write(text + end + "\n")


if sys.argv[1] == "make":
    make(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]), sys.argv[6:])
