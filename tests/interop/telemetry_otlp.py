"""Reads the bodies of a folder (telemetry_calls.py) with OpenTelemetry's own messages, for telemetry.sh: unknown names are errors. Ids are hex in
OTLP's JSON and base64 in protobuf's, so they are rewritten first. Prints `ok CASE` or `not ok CASE`."""
import base64
import glob
import json
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

IDS = ("traceId", "spanId", "parentSpanId")


def base64_ids(v):
    if isinstance(v, dict):
        return {k: base64.b64encode(bytes.fromhex(x)).decode() if k in IDS else base64_ids(x) for k, x in v.items()}
    return [base64_ids(x) for x in v] if isinstance(v, list) else v


failed = False
names, kinds = set(), {}
for path in sorted(glob.glob(sys.argv[1] + "/*.v1.*")):
    message = ExportTraceServiceRequest() if path.endswith("traces") else ExportMetricsServiceRequest()
    try:
        json_format.ParseDict(base64_ids(json.load(open(path))), message)
        for r in getattr(message, "resource_spans", ()):
            for span in r.scope_spans[0].spans:
                names.add(span.name)
                names.update(e.name for e in span.events)
                if len(span.trace_id) != 16 or len(span.span_id) != 8 or span.end_time_unix_nano < span.start_time_unix_nano:
                    raise ValueError(span)
        for r in getattr(message, "resource_metrics", ()):
            for metric in r.scope_metrics[0].metrics:
                kinds[metric.name] = metric.WhichOneof("data")
                for p in metric.histogram.data_points:
                    if sum(p.bucket_counts) != p.count or len(p.bucket_counts) != len(p.explicit_bounds) + 1:
                        raise ValueError(p)
    except (json_format.ParseError, ValueError, IndexError) as e:
        print(f"not ok parses ({path}: {e})")
        failed = True
want = {"tee.client.request": "sum", "tee.client.error": "sum", "tee.server.call": "sum", "tee.server.error": "sum", "tee.server.latency": "histogram"}
for name, ok in (("parses", not failed), ("span_names", names >= {"tee.server.call", "tee.client.request"}),
                 ("metric_names", {k: v for k, v in want.items() if k != "tee.client.error"}.items() <= kinds.items() <= want.items())):
    print(f"ok {name}" if ok else f"not ok {name} ({sorted(names)} {kinds})")
    failed = failed or not ok
sys.exit(failed)
