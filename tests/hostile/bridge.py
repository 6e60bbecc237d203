#!/usr/bin/python3
"""sign-host bridge under 10,000 connections: half-closes of either side, slow readers, floods, resets of either side, clients that
say nothing; every byte counts. socat does the same work as the reference: what arrives must be the same. Resets are passed on as
resets (socat makes ends in order of them). Then: no descriptor and no connection is left, memory is bounded."""
# limit: 290
import asyncio
import hashlib
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

failed = False
TOTAL = int(os.environ.get("CS_BRIDGE_CONNECTIONS", "10000"))
AT_ONCE = 120
LINGER = struct.pack("ii", 1, 0)


def check(name, ok, detail=""):
    global failed
    failed = failed or not ok
    print(f"ok {name}" if ok else f"not ok {name} ({str(detail)[:400]})", flush=True)


def sanitized(program):
    for d in os.environ["PATH"].split(":"):
        if os.path.exists(f"{d}/{program}"):
            return b"__asan_init" in open(f"{d}/{program}", "rb").read()
    return False


SANITIZED = sanitized("sign-host")
POOL = random.Random(1).randbytes(1 << 20)


def payload(number, size):
    at = number * 7919 % (len(POOL) - size)
    return POOL[at:at + size]


def digest(data):
    return hashlib.sha256(data).digest()


# ---------------------------------------------------------------- the two ends of one connection

async def read_all(loop, s, want=None):
    """Bytes until the end ("eof"), a reset ("reset") or want of them ("")"""
    got = bytearray()
    while want is None or len(got) < want:
        try:
            more = await loop.sock_recv(s, min(65536, want - len(got)) if want else 65536)
        except (ConnectionResetError, BrokenPipeError):
            return bytes(got), "reset"
        if not more:
            return bytes(got), "eof"
        got += more
    return bytes(got), ""


def reset(s):
    if s.family != socket.AF_UNIX:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
    s.close()


def both(number, size):
    return payload(number, size), payload(number + 1, size)


async def half_close_c(loop, s, number, size):
    up, down = both(number, size)
    await loop.sock_sendall(s, up)
    s.shutdown(socket.SHUT_WR)
    got, end = await read_all(loop, s)
    return got == digest(up) + down, end


async def half_close_s(loop, s, number, size):
    got, end = await read_all(loop, s)
    await loop.sock_sendall(s, digest(got) + both(number, size)[1])
    return got == both(number, size)[0], end


async def slow_reader_c(loop, s, number, size):
    want, got = both(number, size)[1], b""
    for _ in range(6):
        await asyncio.sleep(0.01)
        more, end = await read_all(loop, s, size // 8)
        got += more
    more, end = await read_all(loop, s)
    return got + more == want, end


async def slow_reader_s(loop, s, number, size):
    await loop.sock_sendall(s, both(number, size)[1])
    s.shutdown(socket.SHUT_WR)
    return (await read_all(loop, s))[0] == b"", "eof"


async def flood_c(loop, s, number, size):
    await loop.sock_sendall(s, both(number, size)[0])
    s.shutdown(socket.SHUT_WR)
    return await read_all(loop, s) == (digest(both(number, size)[0]), "eof"), "eof"


async def flood_s(loop, s, number, size):
    await asyncio.sleep(0.05)
    got, end = await read_all(loop, s)
    await loop.sock_sendall(s, digest(got))
    return got == both(number, size)[0], end


async def server_ends_first_c(loop, s, number, size):
    got, end = await read_all(loop, s)
    await loop.sock_sendall(s, both(number, size)[0])
    return got == b"!", end


async def server_ends_first_s(loop, s, number, size):
    await loop.sock_sendall(s, b"!")
    s.shutdown(socket.SHUT_WR)
    got, end = await read_all(loop, s)
    return got == both(number, size)[0], end


async def client_resets_c(loop, s, number, size):
    await loop.sock_sendall(s, both(number, size)[0])
    got, _ = await read_all(loop, s, 1)
    reset(s)
    return got == b"!", "mine"


async def client_resets_s(loop, s, number, size):
    got, end = await read_all(loop, s, size)
    await loop.sock_sendall(s, b"!")
    rest, end = await read_all(loop, s)
    return got == both(number, size)[0] and rest == b"", end


async def server_resets_c(loop, s, number, size):
    got, _ = await read_all(loop, s, size)
    await loop.sock_sendall(s, b"!")
    rest, end = await read_all(loop, s)
    return got == both(number, size)[1] and rest == b"", end


async def server_resets_s(loop, s, number, size):
    await loop.sock_sendall(s, both(number, size)[1])
    got, _ = await read_all(loop, s, 1)
    reset(s)
    return got == b"!", "mine"


async def says_nothing_c(loop, s, number, size):
    s.close()
    return True, "mine"


async def says_nothing_s(loop, s, number, size):
    return await read_all(loop, s) == (b"", "eof"), "eof"


# name, client, server, ends that are right: (client, server) of ours
KINDS = (
    ("half-close", half_close_c, half_close_s, ("eof", "eof")),
    ("slow-reader", slow_reader_c, slow_reader_s, ("eof", "eof")),
    ("flood", flood_c, flood_s, ("eof", "eof")),
    ("server-ends-first", server_ends_first_c, server_ends_first_s, ("eof", "eof")),
    ("says-nothing", says_nothing_c, says_nothing_s, ("mine", "eof")),
    ("client-resets", client_resets_c, client_resets_s, ("mine", "reset")),
    ("server-resets", server_resets_c, server_resets_s, ("reset", "mine")),
)
HEAD = struct.Struct("!III")


def size_of(number):
    return (1, 700, 20000, 65536, 180000)[number * 13 % 5] if number % 50 else 700000


class Round:
    """All connections through one relay: near -> far."""

    def __init__(self, near, far, kinds):
        self.near, self.far, self.kinds = near, far, kinds
        self.clients, self.servers = {}, {}
        self.errors = []

    async def serve_one(self, s):
        loop = asyncio.get_running_loop()
        head, end = await read_all(loop, s, HEAD.size)
        if len(head) != HEAD.size:
            self.errors.append(f"server: head of {len(head)} bytes, {end}")
            s.close()
            return
        number, kind, size = HEAD.unpack(head)
        try:
            self.servers[number] = await asyncio.wait_for(KINDS[kind][2](loop, s, number, size), 60)
        except Exception as e:  # every fault of a connection is one result
            self.servers[number] = (False, repr(e))
        s.close()

    async def serve(self, listener):
        loop = asyncio.get_running_loop()
        tasks = set()
        while True:
            s, _ = await loop.sock_accept(listener)
            s.setblocking(False)
            t = asyncio.create_task(self.serve_one(s))
            tasks.add(t)
            t.add_done_callback(tasks.discard)

    async def connect(self):
        loop = asyncio.get_running_loop()
        s = socket.socket(socket.AF_UNIX if isinstance(self.near, str) else socket.AF_INET)
        s.setblocking(False)
        for _ in range(400):
            try:
                await loop.sock_connect(s, self.near)
                return s
            except (BlockingIOError, ConnectionRefusedError):  # a full backlog of a unix socket
                await asyncio.sleep(0.01)
        raise ConnectionRefusedError(str(self.near))

    async def client(self, number, gate):
        loop = asyncio.get_running_loop()
        kind = self.kinds[number % len(self.kinds)]
        async with gate:
            try:
                s = await self.connect()
                await loop.sock_sendall(s, HEAD.pack(number, kind, size_of(number)))
                self.clients[number] = await asyncio.wait_for(KINDS[kind][1](loop, s, number, size_of(number)), 60)
                s.close()
            except Exception as e:
                self.clients[number] = (False, repr(e))

    async def run(self, total):
        listener = listen(self.far)
        listener.setblocking(False)
        server = asyncio.create_task(self.serve(listener))
        gate = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(self.client(n, gate) for n in range(total)))
        for _ in range(500):
            if len(self.servers) >= total:
                break
            await asyncio.sleep(0.02)
        server.cancel()
        listener.close()

    def wrong(self, total, exact):
        """Connections whose bytes (exact: or ends) are not as they should be."""
        bad = list(self.errors)
        for n in range(total):
            kind = KINDS[self.kinds[n % len(self.kinds)]]
            c, s = self.clients.get(n, (False, "missing")), self.servers.get(n, (False, "missing"))
            if not c[0] or not s[0] or (exact and (c[1], s[1]) != kind[3]):
                bad.append((n, kind[0], c, s))
        return bad


# ---------------------------------------------------------------- relays

def listen(where):
    s = socket.socket(socket.AF_UNIX if isinstance(where, str) else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if isinstance(where, str) and os.path.exists(where):
        os.unlink(where)
    s.bind(where)
    s.listen(2048)
    return s


def free_port():
    s = socket.create_server(("127.0.0.1", 0))
    port = s.getsockname()[1]
    s.close()
    return ("127.0.0.1", port)


def endpoint(where):
    return f"unix:{where}" if isinstance(where, str) else f"tcp:{where[0]}:{where[1]}"


def ours(near, far, *options):
    return ["sign-host", "bridge", "--listen", endpoint(near), "--to", endpoint(far), "--log-level", "error", *options]


def socat(near, far):
    a = f"UNIX-LISTEN:{near},fork,backlog=2048" if isinstance(near, str) else \
        f"TCP-LISTEN:{near[1]},bind=127.0.0.1,fork,reuseaddr,backlog=2048"
    b = f"UNIX-CONNECT:{far}" if isinstance(far, str) else f"TCP:127.0.0.1:{far[1]}"
    return ["socat", "-t", "60", a, b]


def listening(where):
    if isinstance(where, str):
        return any(x.split()[-1] == where and x.split()[3] == "00010000" for x in open("/proc/net/unix"))
    return any(x.split()[1].endswith(f":{where[1]:04X}") and x.split()[3] == "0A" for x in list(open("/proc/net/tcp"))[1:])


def start(command, near):
    p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL if command[0] == "socat" else None)
    for _ in range(1500):
        if listening(near):
            return p
        time.sleep(0.02)
    raise RuntimeError("the relay does not listen")


def finish(p):
    p.send_signal(signal.SIGTERM)
    try:
        return p.wait(20)
    except subprocess.TimeoutExpired:
        p.kill()
        return "killed"


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def rss(pid):
    return next(int(x.split()[1]) * 1024 for x in open(f"/proc/{pid}/status") if x.startswith("VmRSS"))


def metrics(path):
    out = subprocess.run(["curl", "-s", "--unix-socket", path, "http://x/metrics"], capture_output=True, text=True, check=True).stdout
    return {x.rsplit(" ", 1)[0].split("{")[0] + x[x.find("result="):].split("}")[0] if "result=" in x else x.split("{")[0]:
            int(x.rsplit(" ", 1)[1]) for x in out.splitlines() if not x.startswith("#")}


def settle(pid, before):
    for _ in range(250):
        if descriptors(pid) <= before:
            return True
        time.sleep(0.02)
    return False


def through(name, directory, near, far, kinds, total, reference):
    """One relay of ours, and socat beside it."""
    where = f"{directory}/metrics"
    p = start(ours(near, far, "--metrics", f"unix:{where}"), near)
    metrics(where)
    before = descriptors(p.pid)
    r = Round(near, far, kinds)
    asyncio.run(r.run(total))
    bad = r.wrong(total, True)
    check(f"{name}-every-byte-and-end", not bad, f"{len(bad)} of {total}: {bad[:3]}")
    check(f"{name}-no-descriptor-left", settle(p.pid, before + 2 * 64), f"{descriptors(p.pid)} now, {before} before")
    figures = metrics(where)
    ended = sum(n for k, n in figures.items() if k.startswith("countersign_proxy_connections_totalresult"))
    check(f"{name}-all-counted", ended == total and figures["countersign_proxy_connections_open"] == 0, figures)
    check(f"{name}-memory", SANITIZED or rss(p.pid) <= 64 << 20, rss(p.pid))
    check(f"{name}-ends", finish(p) == 0)
    if not reference:
        return
    p = start(socat(near, far), near)
    s = Round(near, far, kinds)
    asyncio.run(s.run(total))
    finish(p)
    theirs = [b for b in s.wrong(total, False) if b[1] not in ("client-resets", "server-resets")]
    print(f"# {name}: socat delivered the same bytes on {total - len(theirs)} of {total} connections")
    check(f"{name}-as-socat", len(bad) <= len(theirs), f"ours {len(bad)}, socat {len(theirs)} {theirs[:2]}")


def idle(directory):
    """2,000 silent connections after one byte each way."""
    near, far = f"{directory}/idle", free_port()
    p = start(ours(near, far), near)
    listener = listen(far)
    ends = []
    for _ in range(2000):
        c = socket.socket(socket.AF_UNIX)
        c.connect(near)
        s, _ = listener.accept()
        c.sendall(b"a")
        s.sendall(b"b")
        ends += [c, s]
    for s in ends:
        s.recv(1)
    print(f"# 2,000 silent connections: {rss(p.pid) / 1048576:.1f} MB")
    check("idle-2000-memory", SANITIZED or rss(p.pid) <= 16 << 20, rss(p.pid))
    fds = descriptors(p.pid)
    for s in ends:
        s.close()
    check("idle-2000-all-closed", settle(p.pid, fds - 4000), f"{descriptors(p.pid)} of {fds}")
    finish(p)


def lingering_reset(directory):
    """A client resets while its bytes wait for a reader that sleeps: they arrive, then the reset, both within 2 s of linger."""
    near, far = free_port(), free_port()
    p = start(ours(near, far), near)
    listener = listen(far)
    c = socket.create_connection(near)
    s, _ = listener.accept()
    c.setblocking(False)
    sent = 0
    try:
        while sent < 1 << 20:
            sent += c.send(POOL[sent:sent + 65536])
            time.sleep(0.005)
    except BlockingIOError:
        pass
    time.sleep(0.2)
    reset(c)
    got, end = bytearray(), ""
    try:
        while not end:
            more = s.recv(65536)
            got += more
            end = "" if more else "eof"
    except ConnectionResetError:
        end = "reset"
    check("reset-behind-bytes", end == "reset" and bytes(got) == POOL[:len(got)] and len(got) >= min(sent, 60000), (end, len(got), sent))
    s.close()
    finish(p)


def main():
    everything = tuple(range(len(KINDS)))
    in_order = tuple(i for i, k in enumerate(KINDS) if "reset" not in k[0])
    with tempfile.TemporaryDirectory(prefix="csb") as d:
        few = max(TOTAL // 20, 50)
        through("tcp-tcp", d, free_port(), free_port(), everything, TOTAL - 2 * few, True)
        through("unix-tcp", d, f"{d}/near", free_port(), in_order, few, True)
        through("tcp-unix", d, free_port(), f"{d}/far", in_order, few, True)
        lingering_reset(d)
        idle(d)
    sys.exit(1 if failed else 0)


main()
