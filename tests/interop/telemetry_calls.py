"""Calls through sign-gateway with a fake core (tee_gateway_core.py) and a collector of this test's own, for telemetry.sh. Arguments: a
folder, into which /metrics and the bodies that arrive go. Prints `ok CASE` or `not ok CASE`."""
import http.client
import http.server
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import grpc  # noqa: E402
import tee_gateway as gate  # noqa: E402
import tee_gateway_core as fake  # noqa: E402

out = sys.argv[1]
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SECRETS = ("payload-of-the-test", "wallet-of-nobody", "app-of-the-test")
STATUS = {"phase": "SERVING", "load": {"credentials": "present", "credentials_expire_ms": 1767225600500}, "memory": {"used": 7, "size": 9}, "tee": {
    "workers": 2, "queue": 3, "queue_limit": 256, "calls": {"Sign": 11, "unreadable": 1}, "codes": {"OK": 10, "CALLER_AUTH": 1}, "busy": 4, "repeated": 5,
    "latency": {"sum_us": 2500, "up_to_us": [125, 250], "count": [1, 2, 3]}, "audit": {"counter": 12, "head": "00"},
    "kms": {"calls": 6, "errors": 1, "under_way": 2, "cache_hits": 8, "cached": 1, "latency_sum_ms": 70, "up_to_us": [1000, 2000], "count": [4, 1, 1]}}}


class Core(fake.Core):
    """one that says what it was sent along, and its status"""

    def __init__(self, callers):
        super().__init__(callers)
        self.metadata = []

    def call(self, request, context):
        self.metadata.append(dict(context.invocation_metadata()))
        return super().call(request, context)

    def status(self, request, context):
        return fake.field(1, "SERVING") + fake.field(9, json.dumps(STATUS))

    def service(self, details):
        if details.method == "/countersign.v1.Enclave/Status":
            return grpc.unary_unary_rpc_method_handler(self.status)
        return super().service(details)


class Collector(http.server.BaseHTTPRequestHandler):
    bodies, refuse, lock = [], 2, threading.Lock()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        with Collector.lock:
            refused = Collector.refuse > 0
            Collector.refuse -= refused
            if not refused:
                Collector.bodies.append((self.path, self.headers["content-type"], body))
        self.send_response(503 if refused else 200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args):
        pass


def scrape(at):
    c = http.client.HTTPConnection(at, timeout=10)
    c.request("GET", "/metrics")
    return c.getresponse().read().decode()


def spans():
    with Collector.lock:
        return [s for path, _, body in Collector.bodies if path == "/v1/traces" for r in json.loads(body)["resourceSpans"]
                for scope in r["scopeSpans"] for s in scope["spans"]]


def attributes(span):
    return {a["key"]: a["value"]["stringValue"] for a in span["attributes"]}


def calls(g, core, app):
    body = app.body("Generate", [SECRETS[1], 3])
    meta = (("traceparent", f"00-{TRACE}-{PARENT}-01"), ("tracestate", "vendor=1"))
    core.metadata.clear()
    g.grpc_call("Generate", gate.auth_pb(app, body) + fake.field(2, SECRETS[1]) + fake.field(3, "ed25519"), metadata=meta)
    sent = core.metadata[-1]
    gate.check("core_gets_the_clients_trace", sent.get("traceparent", "")[:36] == f"00-{TRACE}-" and PARENT not in sent["traceparent"] and sent["tracestate"] == "vendor=1", sent)
    rid = gate.cbor2.loads(body)[2].hex()
    doc = {"auth": gate.auth_json(app, app.body("Sign", [SECRETS[1], 3, 1, SECRETS[0].encode()])), "record": SECRETS[1], "algorithm": "ed25519", "message": gate.b64(SECRETS[0].encode())}
    core.metadata.clear()
    gate.check("sign_over_http", g.request("POST", "/v1/tee/sign", doc, {"content-type": "application/json", "TraceParent": "00-" + "0" * 32 + f"-{PARENT}-01"})[0] == 200)
    made = core.metadata[-1]["traceparent"].split("-")
    gate.check("a_wrong_trace_begins_anew", made[0] == "00" and len(made[1]) == 32 and int(made[1], 16) != 0 and made[1] != TRACE)
    gate.check("refused", g.code("Sign", gate.sign_pb(app, "no-such-record", 3, 1, b"x")) == "NOT_FOUND" and g.code("Sign", b"\xff") == "FORMAT")
    return rid, made[1]


def taken(folder, port, metrics):
    """an address that is in use: the default is done without, one that was asked for is refused"""
    with socket.socket() as default:
        try:
            default.bind(("127.0.0.1", 9464))
            default.listen()
        except OSError:
            pass  # somebody else has it, which is as good
        g = gate.Gateway(port, folder)
        gate.check("default_in_use", "METRICS" not in open(g.ports).read() and "metrics_off" in open(os.path.join(g.dir.name, "log")).read())
        g.end()
    g = gate.Gateway(port, folder, "--listen-metrics", metrics, start=False)
    refused = subprocess.run(g.command, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
    gate.check("named_in_use", refused.returncode == 1 and "EXISTS" in refused.stderr, refused.stderr)
    unix = os.path.join(folder, "metrics")
    g = gate.Gateway(port, folder, "--listen-metrics", f"unix:{unix}")
    there = os.path.exists(unix)
    gate.check("unix_socket_goes_with_it", g.end() == 0 and there and not os.path.exists(unix))
    g = gate.Gateway(port, folder, "--listen-metrics", "off")
    gate.check("off", "METRICS" not in open(g.ports).read() and g.end() == 0)
    g = gate.Gateway(port, folder, "--listen-metrics", "nowhere", start=False)
    gate.check("no_address", subprocess.run(g.command, capture_output=True, timeout=20, stdin=subprocess.DEVNULL).returncode == 1)


def main():
    app = fake.Caller(SECRETS[2])
    core = Core([app])
    server, port = fake.serve(core)
    collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        open(f"{folder}/config.yaml", "w").write("telemetry:\n  otlpSeconds: 1\n  pollSeconds: 1\n")
        open(f"{folder}/root.pem", "wb").write(core.nsm.pem())
        g = gate.Gateway(port, folder, "--listen-metrics", "127.0.0.1:0", "--otlp", f"http://127.0.0.1:{collector.server_port}/", "--config", f"{folder}/config.yaml")
        metrics = dict(line.strip().split("=") for line in open(g.ports))["METRICS"].removeprefix("tcp:")
        gate.check("gate_opens", gate.until(lambda: 'countersign_tee_gate_state{state="open"} 1' in scrape(metrics)))
        rid, made = calls(g, core, app)
        gate.check("spans_arrive", gate.until(lambda: len([s for s in spans() if s["name"] == "tee.server.call"]) >= 4, 20))
        with_trace = {s["name"]: s for s in spans() if s["traceId"] == TRACE}
        call, request = with_trace.get("tee.server.call", {}), with_trace.get("tee.client.request", {})
        gate.check("spans_hang_together", call.get("parentSpanId") == PARENT and request.get("parentSpanId") == call.get("spanId") and request["kind"] == 3 and call["kind"] == 2
                   and int(call["startTimeUnixNano"]) <= int(request["startTimeUnixNano"]) <= int(request["endTimeUnixNano"]) <= int(call["endTimeUnixNano"]), with_trace)
        gate.check("span_says_what", attributes(call) == {"tee.operation": "Generate", "tee.code": "OK", "tee.protocol": "grpc", "tee.request_id": rid}, attributes(call))
        gate.check("the_same_trace_at_both_ends", {s["name"] for s in spans() if s["traceId"] == made} == {"tee.server.call", "tee.client.request"})
        refused = [s for s in spans() if attributes(s)["tee.code"] == "NOT_FOUND"]
        gate.check("refusals_are_failed_spans", refused and all(s["status"]["code"] == 2 for s in refused))
        gate.check("core_is_asked", gate.until(lambda: "countersign_core_queue_depth 3\n" in scrape(metrics)))
        text = scrape(metrics)
        for want in ('countersign_tee_calls_total{operation="Sign",protocol="http"} 1', 'countersign_tee_calls_total{operation="Generate",protocol="grpc"} 1',
                     'countersign_tee_errors_total{operation="Sign",class="input",code="NOT_FOUND"} 1', 'countersign_tee_call_duration_seconds_count{operation="Generate"} 1',
                     "countersign_core_up 1", 'countersign_core_phase{phase="SERVING"} 1', "countersign_kms_calls_total 6", 'countersign_kms_call_duration_seconds_bucket{le="0.002"} 5',
                     "countersign_kms_call_duration_seconds_sum 0.07", 'countersign_core_duration_seconds_bucket{le="+Inf"} 6', "countersign_credentials_expiry_timestamp_seconds 1767225600.5",
                     'countersign_credentials_state{state="present"} 1', 'countersign_core_calls_total{operation="unknown"} 1', "countersign_core_queue_limit 256",
                     "countersign_otlp_spans_dropped_total 0", "countersign_otlp_post_failures_total 2"):
            gate.check("metrics_" + want.split("{")[0].split(" ")[0].removeprefix("countersign_"), want + "\n" in text, [line for line in text.splitlines() if line.startswith(want.split("{")[0].split(" ")[0])])
        open(f"{out}/metrics", "w").write(text)
        with tempfile.TemporaryDirectory() as other:
            open(f"{other}/root.pem", "wb").write(core.nsm.pem())
            taken(other, port, metrics)
        server.stop(0)
        gate.check("core_that_is_gone_shows", gate.until(lambda: "countersign_core_up 0\n" in scrape(metrics)))
        gate.check("metrics_arrive", gate.until(lambda: any(path == "/v1/metrics" for path, _, _ in Collector.bodies), 20))
        gate.check("it_ends", g.end() == 0)
        log = open(os.path.join(g.dir.name, "log")).read()
    for i, (path, kind, body) in enumerate(Collector.bodies):
        gate.check("is_json", kind == "application/json") if i == 0 else None
        open(f"{out}/{i:03}{path.replace('/', '.')}", "wb").write(body)
    everything = text + log + "".join(body.decode() for _, _, body in Collector.bodies)
    gate.check("no_callers_records_or_payloads", not any(s in everything for s in SECRETS) and gate.b64(SECRETS[0].encode()) not in everything)
    sys.exit(1 if gate.failed else 0)


if __name__ == "__main__":
    main()
