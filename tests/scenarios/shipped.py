"""shipped.py BIN CONFIG.cbor: starts sign-service and sign-kms as they ship, with vsock listeners and links of our own, until each says that
it is set up and under its filter; sign-core until it misses /dev/nsm. Exit status 0 when all did."""
import os
import select
import socket
import subprocess
import sys
import time

ANY_CID = 0xFFFFFFFF


def item(d, p):
    """The end of the CBOR item at p (definite lengths only)."""
    major, n = d[p] >> 5, d[p] & 31
    p += 1
    if n >= 24:
        size = 1 << (n - 24)
        n, p = int.from_bytes(d[p : p + size], "big"), p + size
    if major in (2, 3):
        return p + n
    for _ in range(n * {4: 1, 5: 2}.get(major, 0)):
        p = item(d, p)
    return p


def sections(d):
    out, p = {}, 1
    for _ in range(d[0] & 31):
        name, end = item(d, p), None
        end = item(d, name)
        out[d[p + 1 : name].decode()] = d[name:end]
        p = end
    return out


def listener():
    s = socket.socket(socket.AF_VSOCK)
    s.bind((ANY_CID, ANY_CID))  # any port
    s.listen()
    return s


def starts(program, config, fds, wanted):
    """True when a line of its log holds the event; the process is ended."""
    memory = os.memfd_create("config")
    os.write(memory, config)
    args = [program, "--config-fd", str(memory)]
    for option, s in fds.items():
        args += [option, str(s.fileno())]
    p = subprocess.Popen(args, stderr=subprocess.PIPE, env={}, pass_fds=[memory] + [s.fileno() for s in fds.values()])
    seen, end = b"", time.monotonic() + 20
    while f'"event":"{wanted}"'.encode() not in seen and time.monotonic() < end:
        if select.select([p.stderr], [], [], 1)[0]:
            chunk = os.read(p.stderr.fileno(), 65536)
            if not chunk:
                break
            seen += chunk
    filtered = wanted == "nsm_open" or "\nSeccomp:\t2\n" in open(f"/proc/{p.pid}/status", encoding="ascii").read()
    p.terminate()
    status = p.wait(10)
    ok = f'"event":"{wanted}"'.encode() in seen and filtered and status != -31
    print(f"# {os.path.basename(program)}: {wanted} {ok}, status {status}")
    return ok


def main():
    folder = sys.argv[1]
    with open(sys.argv[2], "rb") as f:
        config = sections(f.read())
    core_service, service = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    core_kms, kms = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    front = {"--link-core": service, "--listen-grpc": listener(), "--listen-age": listener(), "--listen-shares": listener()}
    ok = starts(f"{folder}/sign-service", config["service"], front, "ready")
    ok &= starts(f"{folder}/sign-kms", config["kms"], {"--link-core": kms, "--listen-credentials": listener()}, "started")
    ok &= starts(f"{folder}/sign-core", config["core"], {"--link-service": core_service, "--link-kms": core_kms}, "nsm_open")
    sys.exit(0 if ok else 1)


main()
