"""One client of the seed system's contract: the same SignMessage to sign-gateway and to the participant beside it, tx_id 1..20 at
once. The messages and the methods come from proto/mpc.proto alone (compiled by the caller into the folder STUBS). Started by
mpc_clients.sh, with: GATEWAY_GRPC, PARTICIPANT, ACCOUNTS (id=hex of the compressed key, with commas between), ROUND, STUBS.
Each signature is checked by the arithmetic below, which shares nothing with the product."""
import hashlib
import os
import sys

import grpc

sys.path.insert(0, os.environ["STUBS"])
import mpc_pb2  # noqa: E402

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
     0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8)


def add(a, b):
    if a is None or b is None:
        return a or b
    if a[0] == b[0] and (a[1] + b[1]) % P == 0:
        return None
    slope = 3 * a[0] * a[0] * pow(2 * a[1], -1, P) if a == b else (b[1] - a[1]) * pow(b[0] - a[0], -1, P)
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def mul(k, point):
    out = None
    while k:
        if k & 1:
            out = add(out, point)
        point = add(point, point)
        k >>= 1
    return out


def recover(digest, r, s, v):
    """The compressed key that signed, or None."""
    x = r + N * (v >> 1)
    if not 0 < r < N or not 0 < s < N or not 0 <= v < 4 or x >= P:
        return None
    y = pow(x ** 3 + 7, (P + 1) // 4, P)
    if (y * y - x ** 3 - 7) % P:
        return None
    y = y if y & 1 == v & 1 else P - y
    inverse = pow(r, -1, N)
    q = add(mul(s * inverse % N, (x, y)), mul(-int.from_bytes(digest, "big") * inverse % N, G))
    return None if q is None else bytes([2 + (q[1] & 1)]) + q[0].to_bytes(32, "big")


def stub(address, service):
    """{method: a call} of a service of the proto"""
    channel = grpc.insecure_channel(address)
    row = mpc_pb2.DESCRIPTOR.services_by_name[service]

    def message(name):
        return getattr(mpc_pb2, name)
    return {m.name: channel.unary_unary(f"/{row.full_name}/{m.name}",
                                        request_serializer=message(m.input_type.name).SerializeToString,
                                        response_deserializer=message(m.output_type.name).FromString) for m in row.methods}


def main():
    accounts = [a.split("=") for a in os.environ["ACCOUNTS"].split(",")]
    label = f"python/round-{os.environ['ROUND']}"
    both = [stub(os.environ["GATEWAY_GRPC"], "SignGateway")["SignTx"], stub(os.environ["PARTICIPANT"], "Participant")["SignTx"]]
    failed = False

    def check(name, fault):
        nonlocal failed
        failed = failed or bool(fault)
        line = f"not ok {label}/{name} ({fault})" if fault else f"ok {label}/{name}"
        os.write(1, f"{line}\n".encode())  # in one piece: the other client writes to the same place

    def send(message):
        return [call.future(message, timeout=60, wait_for_ready=True) for call in both]

    def fault_of(message, key, answers):
        try:
            a, b = [x.result() for x in answers]
        except grpc.RpcError as e:
            return f"{e.code().name}: {e.details()}"
        if a != b:
            return "the two answers differ"
        if len(a.r) != 32 or len(a.s) != 32 or int.from_bytes(a.s, "big") > N // 2:
            return "form"
        got = recover(message.data, int.from_bytes(a.r, "big"), int.from_bytes(a.s, "big"), a.v)
        return "" if got == bytes.fromhex(key) else "not by the account's key"

    sent = []
    for tx_id in range(1, 21):
        account, key = accounts[tx_id % len(accounts)]
        message = mpc_pb2.SignMessage(tx_id=tx_id, execution_id=os.urandom(16), chain=tx_id % 2, account_id=account,
                                      data=hashlib.sha256(os.urandom(32)).digest())
        sent.append((message, key, send(message)))
    for message, key, answers in sent:
        check(f"tx-{message.tx_id}", fault_of(message, key, answers))
    message, key, answers = sent[0]
    again = send(message)
    check("again-is-the-same", fault_of(message, key, again) or
          ("" if again[0].result() == answers[0].result() else "another signature"))
    message.data = bytes(32)
    codes = [x.exception(timeout=60).code().name if x.exception(timeout=60) else "OK" for x in send(message)]
    check("other-data-is-refused", "" if codes == ["FAILED_PRECONDITION"] * 2 else codes)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
