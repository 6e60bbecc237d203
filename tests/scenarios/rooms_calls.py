"""rooms_calls.py FIRST NUM NOISE: signs NUM requests (tx_id FIRST..) through gateway and participant at once, four at a time, and
prints `TX SIGNATURE` for each; exit status 1 when one fails or the two answers differ. NOISE: frames that a stranger writes into
each room as soon as the first message is in it: sessions and handshakes of nobody, bytes behind real names, forged ends.
Environment: GATEWAY_GRPC, GATEWAY_HTTP, PARTICIPANT, ACCOUNT_ID. No stubs: the messages are written by hand."""
import base64
import concurrent.futures
import http.client
import json
import os
import sys
import threading

import grpc

FIRST, NUM, NOISE = (int(a) for a in sys.argv[1:4])
ACCOUNT = os.environ["ACCOUNT_ID"].encode()
HTTP = os.environ["GATEWAY_HTTP"].removeprefix("http://")


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def noise(tx):
    """A stranger who reads the room's first message and then fills it."""
    room = f"/rooms/signing_{tx}"
    reader = http.client.HTTPConnection(HTTP, timeout=20)
    reader.request("GET", room + "/subscribe")
    stream = reader.getresponse()
    line = b""
    while b'"body":"' not in line:
        line = stream.fp.readline()
        if not line:
            return 0
    body = line.split(b'"body":"')[1].split(b'"')[0]
    raw = base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4))
    end = 3 + raw[1] + raw[2 + raw[1]]
    head, frame = raw[:end], raw[end:]
    writer = http.client.HTTPConnection(HTTP, timeout=20)
    for i in range(NOISE):
        forged = (b"\x03" + frame[1:17] + os.urandom(16) + bytes(8) + os.urandom(100), b"\x03" + frame[1:33] + bytes(8) + os.urandom(300),
                  b"\x01" + os.urandom(128), b"\x05" + frame[1:33] + b"CHANNEL_AUTH")[i % 4]
        text = base64.urlsafe_b64encode(head + forged).decode().rstrip("=")
        writer.request("POST", room + "/broadcast", json.dumps({"sender": i % 2, "receiver": None, "body": text}),
                       {"Content-Type": "application/json"})
        if writer.getresponse().read() is None:
            return i
    reader.close()
    return NOISE


def sign(tx, sides):
    message = b"\x08" + varint(tx) + field(2, b"rooms-%d" % tx) + field(4, bytes([tx & 255]) * 32) + field(5, ACCOUNT)
    stranger = threading.Thread(target=noise, args=(tx,), daemon=True)
    if NOISE:
        stranger.start()
    calls = [side.future(message, timeout=60) for side in sides]
    try:
        answers = [c.result() for c in calls]
    except grpc.RpcError as e:
        return tx, False, f"{e.code().name} {e.details()}"
    return tx, answers[0] == answers[1] and len(answers[0]) >= 68, answers[0].hex()


with grpc.insecure_channel(os.environ["GATEWAY_GRPC"]) as gateway, grpc.insecure_channel(os.environ["PARTICIPANT"]) as participant:
    both = (gateway.unary_unary("/mpc.SignGateway/SignTx"), participant.unary_unary("/mpc.Participant/SignTx"))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda tx: sign(tx, both), range(FIRST, FIRST + NUM)))
for tx, good, text in rows:
    print(tx, text if good else "failed: " + text)
sys.exit(0 if all(good for _, good, _ in rows) else 1)
