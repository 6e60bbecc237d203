#!/usr/bin/env python3
"""aws_faults.py IMDS S3 MODE-FILE PORT-FILE: stands between sign-host and the emulator's IMDS and S3, and does what MODE-FILE says
at the moment (one word, e.g. imds:v1). Everything else passes unchanged. Requests are counted in MODE-FILE.log, a line each."""
import http.client
import http.server
import os
import sys
import time
import urllib.parse

IMDS, S3, MODE, PORT = sys.argv[1:5]
CREDS = '{"Code":"%s","Type":"AWS-HMAC","AccessKeyId":"ASIAX","SecretAccessKey":"s","Token":"t","Expiration":"%s"}'
seen = {}


def mode():
    try:
        return open(MODE).read().strip()
    except OSError:
        return ""


def count(what):
    seen[what] = seen.get(what, 0) + 1
    return seen[what]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for k, v in headers:
            self.send_header(k, v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, status, code, more="", headers=()):
        self.answer(status, f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>m</Message>{more}</Error>".encode(), headers)

    def forward(self, cut=0):
        up = urllib.parse.urlsplit(IMDS if self.path.startswith("/latest/") else S3)
        c = http.client.HTTPConnection(up.hostname, up.port)
        c.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for k, v in self.headers.items():
            c.putheader(k, v)
        c.endheaders()
        r = c.getresponse()
        body = r.read()
        self.send_response(r.status)
        for k, v in r.getheaders():
            if k.lower() not in ("server", "date", "connection"):
                self.send_header(k, v)
        if cut:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:cut] if cut else body)
        if cut:
            self.wfile.flush()
            self.close_connection = True

    def imds(self, m):
        put = self.command == "PUT"
        if m == "imds:hop" and put:
            time.sleep(3)
        elif m in ("imds:v1", "imds:405", "imds:403", "imds:400") and put:
            self.answer({"imds:v1": 404, "imds:405": 405, "imds:403": 403, "imds:400": 400}[m])
        elif m == "imds:401" and not put:
            self.answer(401)
        elif m == "imds:401-once" and not put and count("401") == 1:
            self.answer(401)
        elif m == "imds:role" and not put:
            self.answer(404)
        elif m == "imds:no-role" and not put:
            self.answer(200)
        elif m in ("imds:code", "imds:expired", "imds:junk") and self.path.rstrip("/").count("/") > 4:
            self.answer(200, {"imds:code": CREDS % ("AssumeRoleUnauthorizedAccess", "2099-01-01T00:00:00Z"),
                              "imds:expired": CREDS % ("Success", "2020-01-01T00:00:00Z"), "imds:junk": "{"}[m].encode())
        elif m == "imds:500-once" and count("500") == 1:
            self.answer(500)
        else:
            self.forward()

    def s3(self, m):
        scope = self.headers.get("Authorization", "")
        if m == "s3:301" and "/eu-west-1/" not in scope:
            self.error(301, "PermanentRedirect", "<Endpoint>evil.example.com</Endpoint>", [("x-amz-bucket-region", "eu-west-1")])
        elif m == "s3:301-back" and "/us-east-1/" not in scope:
            self.error(301, "PermanentRedirect", "", [("x-amz-bucket-region", "us-east-1")])
        elif m == "s3:307-back" and "/us-east-1/" not in scope:
            self.error(307, "TemporaryRedirect", "", [("x-amz-bucket-region", "us-east-1"), ("Location", "http://evil.example.com/")])
        elif m == "s3:400-back" and "/us-east-1/" not in scope:
            self.error(400, "AuthorizationHeaderMalformed", "<Region>us-east-1</Region>")
        elif m == "s3:301-silent":
            self.error(301, "PermanentRedirect")
        elif m == "s3:301-host":
            self.error(301, "PermanentRedirect", "", [("x-amz-bucket-region", "evil.example.com/")])
        elif m == "s3:slow-twice" and count("slow") <= 2:
            self.error(503, "SlowDown")
        elif m == "s3:slow":
            self.error(503, "SlowDown")
        elif m == "s3:expired":
            self.error(400, "ExpiredToken")
        elif m == "s3:skew":
            self.error(403, "RequestTimeTooSkewed")
        elif m == "s3:cut" and count("cut") <= 4:
            self.forward(cut=50)
        elif m == "s3:cut-always":
            self.forward(cut=1)
        elif m == "s3:changed" and self.headers.get("Range"):
            self.error(412, "PreconditionFailed")
        elif m == "s3:changed" and count("changed") == 1:
            self.forward(cut=50)
        else:
            self.forward()

    def any(self):
        m = mode()
        with open(MODE + ".log", "a") as f:
            f.write(f"{self.command} {self.path} {self.headers.get('Range', '-')} {self.headers.get('If-Match', '-')}\n")
        if self.path.startswith("/latest/"):
            self.imds(m)
        else:
            self.s3(m)

    do_GET = do_PUT = do_HEAD = any


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(PORT + ".new", "w") as f:
    f.write(str(server.server_port))
os.rename(PORT + ".new", PORT)
server.serve_forever()
