"""Every metric and label that the dashboard asks for is one that the gateway has: arguments are what /metrics said and the dashboard."""
import json
import re
import sys

text = open(sys.argv[1]).read()
types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
labels = {}
for name, inside in re.findall(r"^([a-z_]+)\{(.*)\} ", text, re.M):
    labels.setdefault(name, set()).update(re.findall(r'([a-z_]+)="', inside))
known = set(types) | {n + s for n, t in types.items() if t == "histogram" for s in ("_bucket", "_sum", "_count")}
dashboard = json.load(open(sys.argv[2]))
asked = [(p["title"], t["expr"]) for p in dashboard["panels"] for t in p.get("targets", ())]
wrong = []
for title, expr in asked:
    names = re.findall(r"countersign_[a-z_]+", expr)
    wrong += [(title, n) for n in names if n not in known]
    by = {x.strip() for part in re.findall(r"by \(([^)]*)\)", expr) for x in part.split(",")}
    matched = set(re.findall(r'([a-z_]+)=~?"', expr)) - {"instance"}
    wrong += [(title, label) for label in by | matched if not any(label in labels.get(n, ()) for n in names)]
    if types.get(names[0]) == "counter" and not re.search(r"(rate|increase)\(", expr):
        wrong.append((title, "a counter without rate"))
ids = [p["id"] for p in dashboard["panels"]]
if wrong or len(asked) < 20 or len(set(ids)) != len(ids):
    sys.exit(f"{wrong} {len(asked)}")
print(len(asked), "expressions")
