"""zeros.py PORT_FILE: an S3 endpoint in which the object /any/N has N bytes, all zero. Its port is written to PORT_FILE."""
import http.server
import os
import sys


class Zeros(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        left = int(self.path.rsplit("/", 1)[1])
        self.send_response(200)
        self.send_header("Content-Length", str(left))
        self.end_headers()
        try:
            while left > 0:
                self.wfile.write(bytes(min(left, 1 << 20)))
                left -= 1 << 20
        except ConnectionError:  # it may be refused before its end
            self.close_connection = True

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Zeros)
with open(sys.argv[1] + ".new", "w", encoding="ascii") as f:
    f.write(str(server.server_address[1]))
os.rename(sys.argv[1] + ".new", sys.argv[1])
server.serve_forever()
