#!/usr/bin/env python3
"""nsm_hold CONTROL PCR0 PCR1 PCR2 [debug]: asks the emulator for an instance of the security module with these PCRs, prints the path of its
socket and holds it until standard input ends."""
import json
import socket
import sys

s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
ask = {"op": "create", "module_id": "i-1234567890abcdef0-enc0123456789abcdef", "pcrs": {str(i): sys.argv[2 + i] for i in range(3)},
       "debug": len(sys.argv) > 5}
s.sendall((json.dumps(ask) + "\n").encode())
print(json.loads(s.makefile().readline())["nsm"], flush=True)
sys.stdin.read()
