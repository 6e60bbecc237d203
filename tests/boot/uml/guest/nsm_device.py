#!/usr/bin/env python3
"""/dev/nsm as a driver's user sees it, in the guest: ioctl numbers, limits, errors, and that documents verify (signctl does that).
Prints `ok CASE` or `not ok CASE`. Argument: the value of PCR0 in hex."""
import ctypes
import errno
import fcntl
import struct
import sys

NSM = 0xC0200A00


def call(request, cap=12288, number=NSM, request_len=None):
    req = ctypes.create_string_buffer(request, max(len(request), 1))
    out = ctypes.create_string_buffer(max(cap, 1))
    raw = bytearray(struct.pack("QQQQ", ctypes.addressof(req), len(request) if request_len is None else request_len,
                                ctypes.addressof(out), cap))
    fcntl.ioctl(DEV, number, raw)
    got = struct.unpack("QQQQ", raw)
    return out.raw[:got[3]]


def fails(wanted, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except OSError as e:
        return e.errno == wanted
    return False


def text(s):
    return bytes([0x60 + len(s)]) + s.encode()


DEV = open("/dev/nsm", "r+b", buffering=0)  # for the whole run
DESCRIBE = b"\xa1" + text("DescribePCR") + b"\xa1" + text("index")
cases = {
    "describe-pcr0": lambda: call(DESCRIBE + b"\x00") == b"\xa1" + text("DescribePCR") + b"\xa2" + text("data") + b"\x58\x30" +
    bytes.fromhex(sys.argv[1]) + text("lock") + b"\xf5",
    "random-differs": lambda: len({call(text("GetRandom")) for _ in range(20)}) == 20,
    "random-has-256-bytes": lambda: call(text("GetRandom"))[-259:-256] == b"\x59\x01\x00",
    "short-buffer-is-cut": lambda: len(call(text("GetRandom"), cap=5)) == 5,
    "no-buffer": lambda: call(text("GetRandom"), cap=0) == b"",
    "locked-pcr": lambda: call(b"\xa1" + text("LockPCR") + b"\xa1" + text("index") + b"\x00") == b"\xa1" + text("Error") +
    text("ReadOnlyIndex"),
    "garbage-is-answered": lambda: call(b"\xff\xff") == b"\xa1" + text("Error") + text("InvalidOperation"),
    "empty-request-is-answered": lambda: call(b"") == b"\xa1" + text("Error") + text("InvalidOperation"),
    "4096-bytes-are-a-request": lambda: call(b"\x00" * 4096).startswith(b"\xa1" + text("Error")),
    "4097-bytes-are-not": lambda: fails(errno.EMSGSIZE, b"\x00" * 4097),
    "length-of-2^63": lambda: fails(errno.EMSGSIZE, b"x", request_len=1 << 63),
    "length-beyond-memory": lambda: fails(errno.EMSGSIZE, b"x", request_len=(1 << 64) - 1),
    "other-ioctl": lambda: fails(errno.EINVAL, text("GetRandom"), number=NSM + 1),
}
for name, case in cases.items():
    print(("ok" if case() else "not ok"), "device-" + name, flush=True)
