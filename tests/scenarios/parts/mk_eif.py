#!/usr/bin/env python3
"""mk_eif.py CONFIG.cbor OUT [PAD]: a small enclave image with a measured configuration, written from the layout of
specs/nitro-kms.md 7.1 and by nothing of ours. PAD: bytes to add to the kernel."""
import struct
import sys
import zlib


def newc(files):
    out = b""
    for n, (name, mode, data) in enumerate(files + [("TRAILER!!!", 0, b"")], 1):
        raw = name.encode() + b"\0"
        head = b"070701" + b"".join(b"%08x" % v for v in (n, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0))
        out += head + raw
        out += b"\0" * (-len(out) % 4)
        out += data
        out += b"\0" * (-len(out) % 4)
    return out


def eif(sections):
    at, offsets, sizes = 548, [], []
    for _, body in sections:
        offsets.append(at)
        sizes.append(len(body))
        at += 12 + len(body)
    pad = [0] * (32 - len(sections))
    head = struct.pack(">4sHHQQHH", b".eif", 4, 0, 1 << 29, 2, 0, len(sections))
    head += struct.pack(">32Q", *(offsets + pad)) + struct.pack(">32Q", *(sizes + pad)) + struct.pack(">I", 0)
    body = b"".join(struct.pack(">HHQ", kind, 0, len(data)) + data for kind, data in sections)
    return head + struct.pack(">I", zlib.crc32(head + body)) + body


def main():
    config = open(sys.argv[1], "rb").read()
    pad = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    init = newc([("dev", 0o40755, b""), ("init", 0o100755, b"init")])
    app = newc([("bin", 0o40755, b""), ("bin/sign-init", 0o100755, b"x" * 33), ("etc", 0o40755, b""),
                ("etc/countersign", 0o40755, b""), ("etc/countersign/config.cbor", 0o100644, config)])
    with open(sys.argv[2], "wb") as f:
        f.write(eif([(1, b"KERNEL" + b"\0" * pad), (2, b"reboot=k"), (5, b"{}"), (3, init), (3, app)]))


main()
