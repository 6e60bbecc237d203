#!/usr/bin/env python3
"""nsm_hold CONTROL PCR0 [debug]: asks the emulator for an instance of the security module whose PCR0, 1 and 2 are PCR0, prints the path of
its socket and holds it until standard input ends."""
import json
import socket
import sys

control, pcr = sys.argv[1], sys.argv[2]
s = socket.socket(socket.AF_UNIX)
s.connect(control)
ask = {"op": "create", "module_id": "i-1234567890abcdef0-enc0123456789abcdef", "pcrs": {str(i): pcr for i in range(3)}, "debug": len(sys.argv) > 3}
s.sendall((json.dumps(ask) + "\n").encode())
print(json.loads(s.makefile().readline())["nsm"], flush=True)
sys.stdin.read()
