"""tee_store.py DB swap A B: the ciphertext of two rows of the SQLite store changes places (and again: back).
tee_store.py DB export OUT: the audit log as docs/formats/audit.md has it; documents of boots where the store has them.
tee_store.py DB count: rows."""
import json
import sqlite3
import sys

db = sqlite3.connect(sys.argv[1])
what = sys.argv[2]
if what == "swap":
    columns = "ciphertext_blob, data_key_ciphertext, kms_key_id, version, algorithm, public_key"
    rows = {i: db.execute(f"SELECT {columns} FROM keys WHERE id = ?", (i,)).fetchone() for i in sys.argv[3:5]}
    a, b = sys.argv[3:5]
    for one, other in ((a, b), (b, a)):
        db.execute("UPDATE keys SET ciphertext_blob = ?, data_key_ciphertext = ?, kms_key_id = ?, version = ?, algorithm = ?, public_key = ? WHERE id = ?",
                   (*rows[other], one))
    db.commit()
elif what == "export":
    with open(sys.argv[3], "w") as out:
        for (document,) in db.execute("SELECT document FROM tee_boots WHERE document IS NOT NULL"):
            out.write(json.dumps({"kind": "document", "document": document}) + "\n")
        for entry, signature in db.execute("SELECT entry, signature FROM tee_audit ORDER BY boot, counter"):
            out.write(json.dumps({"kind": "entry", "entry": entry, "signature": signature}) + "\n")
else:
    print(db.execute("SELECT count(*) FROM keys").fetchone()[0])
