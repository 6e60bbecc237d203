#!/usr/bin/python3
"""The public side of sign-gateway's TEE service, with gRPC's own client, Python's ssl and PyJWT: TLS, certificates of clients, bearer tokens, and
where it refuses to start."""
import base64
import datetime
import http.client
import ipaddress
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time

try:
    import grpc
    import jwt
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    import tee_gateway
    import tee_gateway_core as fake
    from tee_gateway import Gateway, check, until
except ImportError as missing:
    print(f"skip tee_public ({missing.name} is not installed)")
    sys.exit(77)


class Authority:
    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test authority")])
        self.cert = self.issue(self.name, self.key, True)

    def issue(self, name, key, ca):
        now = datetime.datetime.utcnow() - datetime.timedelta(hours=1)
        return (x509.CertificateBuilder().subject_name(name).issuer_name(self.name).public_key(key.public_key())
                .serial_number(x509.random_serial_number()).not_valid_before(now).not_valid_after(now + datetime.timedelta(hours=9))
                .add_extension(x509.BasicConstraints(ca, None), True)
                .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
                .sign(self.key, hashes.SHA256()))

    def pem(self):
        return self.cert.public_bytes(Encoding.PEM)

    def pair(self, name):
        """certificate, key"""
        key = ec.generate_private_key(ec.SECP256R1())
        cert = self.issue(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]), key, False)
        return cert.public_bytes(Encoding.PEM), key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def write(folder, name, data):
    path = os.path.join(folder, name)
    with open(path, "wb") as f:
        f.write(data)
    return path


def stats(g, channel, metadata=None):
    try:
        channel.unary_unary("/countersign.v1.Tee/Stats")(b"", timeout=3, metadata=metadata)
        return "OK"
    except grpc.RpcError as e:
        return dict(e.trailing_metadata() or ()).get("countersign-code", e.code().name)


def https(g, context, headers=None):
    c = http.client.HTTPSConnection("127.0.0.1", g.http, timeout=5, context=context)
    try:
        c.request("POST", "/v1/tee/stats", "{}", headers or {})
        return c.getresponse().status
    except (ssl.SSLError, ConnectionError, http.client.HTTPException):
        return 0
    finally:
        c.close()


def tls(folder, port):
    ours, other = Authority(), Authority()
    cert, key = ours.pair("gateway")
    root = ours.pem()
    env = {"MPC_TLS_CERT_FILE": write(folder, "cert.pem", cert), "MPC_TLS_KEY_FILE": write(folder, "key.pem", key)}
    g = Gateway(port, folder, env=env, tls=grpc.ssl_channel_credentials(root))
    check("tls_grpc", until(lambda: stats(g, g.channel) == "OK"))
    try:
        g.channel.unary_unary("/countersign.v1.Tee/Records")(b"", timeout=3)
        check("tls_records_to_nobody", False)
    except grpc.RpcError as e:
        check("tls_records_to_nobody", dict(e.trailing_metadata())["countersign-code"] == "TOKEN")
    check("tls_other_root", stats(g, grpc.secure_channel(f"127.0.0.1:{g.grpc}", grpc.ssl_channel_credentials(other.pem()))) == "UNAVAILABLE")
    check("tls_grpc_plain", stats(g, grpc.insecure_channel(f"127.0.0.1:{g.grpc}")) == "UNAVAILABLE")
    context = ssl.create_default_context(cadata=root.decode())
    check("tls_http", https(g, context) == 200)
    plain = http.client.HTTPConnection("127.0.0.1", g.http, timeout=5)
    try:
        plain.request("GET", "/health")
        check("tls_http_plain", plain.getresponse().status >= 400)
    except (ConnectionError, http.client.HTTPException):
        check("tls_http_plain", True)
    old = ssl.create_default_context(cadata=root.decode())
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    check("tls_1_2", https(g, old) == 200)
    check("tls_it_ends", g.end() == 0)

    env["MPC_TLS_CA_CERT_FILE"] = write(folder, "ca.pem", root)
    mine, strange = ours.pair("client"), other.pair("client")
    g = Gateway(port, folder, env=env, tls=grpc.ssl_channel_credentials(root, mine[1], mine[0]))
    check("mtls_grpc", until(lambda: stats(g, g.channel) == "OK"))
    check("mtls_records", g.channel.unary_unary("/countersign.v1.Tee/Records")(b"", timeout=3)[:1] == b"\x18")  # no record, only now_ms
    check("mtls_grpc_without", stats(g, grpc.secure_channel(f"127.0.0.1:{g.grpc}", grpc.ssl_channel_credentials(root))) == "UNAVAILABLE")
    check("mtls_grpc_of_another", stats(g, grpc.secure_channel(f"127.0.0.1:{g.grpc}", grpc.ssl_channel_credentials(
        root, strange[1], strange[0]))) == "UNAVAILABLE")
    check("mtls_http_without", https(g, context) == 0)
    with_cert = ssl.create_default_context(cadata=root.decode())
    with_cert.load_cert_chain(write(folder, "mine.pem", mine[0]), write(folder, "mine.key", mine[1]))
    check("mtls_http", https(g, with_cert) == 200)
    g.end()


def tokens(folder, port):
    key, p256, stranger = ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
    x = base64.urlsafe_b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode().rstrip("=")
    n = p256.public_key().public_numbers()
    y = [base64.urlsafe_b64encode(v.to_bytes(32, "big")).decode().rstrip("=") for v in (n.x, n.y)]
    keys = write(folder, "keys.json", json.dumps({"keys": [
        {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": x},
        {"kty": "EC", "crv": "P-256", "kid": "ec", "x": y[0], "y": y[1]}]}).encode())
    g = Gateway(port, folder, "--set", f"tee.tokens.keys={keys}", "--set", "tee.tokens.issuer=me", "--set", "tee.tokens.audience=tee")
    now = int(time.time())
    good = {"iss": "me", "aud": "tee", "exp": now + 60, "sub": "app"}

    def ask(token):
        return stats(g, g.channel, (("authorization", f"Bearer {token}"),))
    check("token_eddsa", until(lambda: ask(jwt.encode(good, key, "EdDSA")) == "OK"))
    check("token_es256", ask(jwt.encode(good, p256, "ES256", headers={"kid": "ec"})) == "OK")
    check("token_none", stats(g, g.channel) == "TOKEN")
    for name, token in (("expired", jwt.encode({**good, "exp": now - 31}, key, "EdDSA")),
                        ("issuer", jwt.encode({**good, "iss": "you"}, key, "EdDSA")),
                        ("audience", jwt.encode({**good, "aud": "you"}, key, "EdDSA")),
                        ("not_yet", jwt.encode({**good, "nbf": now + 100}, key, "EdDSA")),
                        ("stranger", jwt.encode(good, stranger, "EdDSA")),
                        ("alg_none", jwt.encode(good, None, "none")),
                        ("hmac_with_the_public_key", jwt.encode(good, x, "HS256")),
                        ("no_expiry", jwt.encode({"iss": "me", "aud": "tee"}, key, "EdDSA"))):
        check(f"token_{name}", ask(token) == "TOKEN")
    status, r = g.request("POST", "/v1/tee/stats", {})
    check("token_http_without", status == 401 and r["code"] == "TOKEN", (status, r))
    status, r = g.request("POST", "/v1/tee/stats", {}, {"Authorization": "bearer " + jwt.encode(good, key, "EdDSA")})
    check("token_http", status == 200, (status, r))
    check("token_health_needs_none", g.request("GET", "/health")[0] == 200)
    g.end()


def refuses(name, why, *arguments, env=None, http="127.0.0.1", rpc="127.0.0.1"):
    r = subprocess.run(["sign-gateway", "--service", "tcp:127.0.0.1:1", "--listen-grpc", f"tcp:{rpc}:0", "--listen-http", f"tcp:{http}:0",
                        *arguments], capture_output=True, timeout=20, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL)
    check(f"refuses_{name}", r.returncode == 1 and why.encode() in r.stderr, r.stderr)


def main():
    core = fake.Core([])
    server, port = fake.serve(core)
    with tempfile.TemporaryDirectory() as folder:
        write(folder, "root.pem", core.nsm.pem())
        tls(folder, port)
        tokens(folder, port)
        on = ["--set", f"tee.store.path={folder}/x.db", "--set", f"tee.allowedPCRs={tee_gateway.PCRS}", "--set", "tee.enabled=true"]
        refuses("plain_http_on_all_addresses", "loopback", *on, http="0.0.0.0")
        refuses("plain_grpc_on_all_addresses", "loopback", *on, rpc="[::]")
        refuses("no_pcrs", "allowedPCRs", "--set", "tee.enabled=true")
        refuses("pcrs_that_are_none", "entry 1", "--set", "tee.enabled=true", "--set", "tee.allowedPCRs=abc", *on[:2])
        refuses("a_certificate_that_is_missing", "MPC_TLS_CERT_FILE", *on, env={"MPC_TLS_CERT_FILE": "/nonexistent", "MPC_TLS_KEY_FILE": "/nonexistent"})
        refuses("a_certificate_alone", "go together", *on, env={"MPC_TLS_CERT_FILE": "/nonexistent"})
        refuses("a_key_of_another", "TLS", *on, env={"MPC_TLS_CERT_FILE": f"{folder}/cert.pem", "MPC_TLS_KEY_FILE": f"{folder}/mine.key"})
        refuses("keys_that_are_none", "tee.tokens.keys", *on, "--set", f"tee.tokens.keys={folder}/cert.pem", "--set",
                "tee.tokens.issuer=a", "--set", "tee.tokens.audience=b")
        refuses("a_store_that_cannot_be", "why", *on, "--set", "tee.store.path=/nonexistent/x.db")
    server.stop(0)
    sys.exit(1 if tee_gateway.failed else 0)


if __name__ == "__main__":
    main()
