// One client of the seed system's contract, as mpc_client.py, with @grpc/grpc-js and the proto loaded as it is; signatures are
// checked with @noble/curves. Started by mpc_clients.sh, with: GATEWAY_GRPC, PARTICIPANT, ACCOUNTS, ROUND.
import crypto from "node:crypto";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const require = createRequire(fileURLToPath(new URL("../../build/peers/node/package.json", import.meta.url)));
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const { secp256k1 } = require("@noble/curves/secp256k1");

const proto = fileURLToPath(new URL("../../proto/mpc.proto", import.meta.url));
const { mpc } = grpc.loadPackageDefinition(loader.loadSync(proto, { keepCase: true, defaults: true }));
const label = `node/round-${process.env.ROUND}`;
const accounts = process.env.ACCOUNTS.split(",").map((a) => a.split("="));
const both = [new mpc.SignGateway(process.env.GATEWAY_GRPC, grpc.credentials.createInsecure()),
    new mpc.Participant(process.env.PARTICIPANT, grpc.credentials.createInsecure())];
let failed = false;

function check(name, fault) {
    failed ||= fault !== "";
    console.log(fault ? `not ok ${label}/${name} (${fault})` : `ok ${label}/${name}`);
}

// the two answers, or the status that a call ended with
function send(message) {
    return Promise.all(both.map((client) => new Promise((resolve) => {
        client.SignTx(message, { deadline: Date.now() + 60000 }, (error, answer) =>
            resolve(error ? { error: grpc.status[error.code], text: error.details } : answer));
    })));
}

const same = (a, b) => a.r.equals(b.r) && a.s.equals(b.s) && a.v === b.v;

function fault_of(message, key, [a, b]) {
    if (a.error || b.error) {
        return JSON.stringify([a, b].filter((x) => x.error));
    }
    if (!same(a, b)) {
        return "the two answers differ";
    }
    if (a.r.length !== 32 || a.s.length !== 32) {
        return "form";
    }
    const signature = secp256k1.Signature.fromCompact(Buffer.concat([a.r, a.s])).addRecoveryBit(a.v);
    if (signature.hasHighS()) {
        return "high s";
    }
    return signature.recoverPublicKey(message.data).toHex(true) === key ? "" : "not by the account's key";
}

const sent = Array.from({ length: 20 }, (_, i) => {
    const [account_id, key] = accounts[(i + 1) % accounts.length];
    const message = { tx_id: i + 1, execution_id: crypto.randomBytes(16), chain: (i + 1) % 2, data: crypto.randomBytes(32), account_id };
    return { message, key, answers: send(message) };
});
for (const { message, key, answers } of sent) {
    check(`tx-${message.tx_id}`, fault_of(message, key, await answers));
}
const { message, key, answers } = sent[0];
const again = await send(message);
check("again-is-the-same", fault_of(message, key, again) || (same(again[0], (await answers)[0]) ? "" : "another signature"));
const refused = await send({ ...message, data: Buffer.alloc(32) });
check("other-data-is-refused", refused.every((x) => x.error === "FAILED_PRECONDITION") ? "" : JSON.stringify(refused));
process.exit(failed ? 1 : 0);
