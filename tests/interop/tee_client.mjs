// An application of the TEE service in Node: @grpc/grpc-js with the proto loaded as it is, and fetch for HTTP/JSON; bodies are made by hand
// (deterministic CBOR), signatures are checked with @noble/curves. Started by tee_clients.sh, with: TEE_GRPC, GATEWAY_HTTP, TEE_CALLER.
import crypto from "node:crypto";
import fs from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const require = createRequire(fileURLToPath(new URL("../../build/peers/node/package.json", import.meta.url)));
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const { secp256k1, schnorr } = require("@noble/curves/secp256k1");
const { p256 } = require("@noble/curves/p256");
const { ed25519 } = require("@noble/curves/ed25519");

const proto = fileURLToPath(new URL("../../proto/countersign.proto", import.meta.url));
const { countersign } = grpc.loadPackageDefinition(loader.loadSync(proto, { keepCase: true, longs: Number, defaults: true }));
const tee = new countersign.v1.Tee(process.env.TEE_GRPC, grpc.credentials.createInsecure());
const identity = JSON.parse(fs.readFileSync(process.env.TEE_CALLER, "utf8"));
const seed = Buffer.from(identity.ed25519_seed, "hex");
let failed = false;

function check(name, ok, detail = "") {
    failed ||= !ok;
    console.log(ok ? `ok node/${name}` : `not ok node/${name} (${detail})`);
}

function head(major, n) {
    const b = Buffer.alloc(9);
    if (n < 24) return Buffer.from([major << 5 | n]);
    if (n < 256) return Buffer.from([major << 5 | 24, n]);
    if (n < 65536) { b[0] = major << 5 | 25; b.writeUInt16BE(n, 1); return b.subarray(0, 3); }
    if (n < 2 ** 32) { b[0] = major << 5 | 26; b.writeUInt32BE(n, 1); return b.subarray(0, 5); }
    b[0] = major << 5 | 27;
    b.writeBigUInt64BE(BigInt(n), 1);
    return b;
}

function cbor(v) {
    if (typeof v === "number") return head(0, v);
    if (typeof v === "string") return Buffer.concat([head(3, Buffer.byteLength(v)), Buffer.from(v)]);
    if (Array.isArray(v)) return Buffer.concat([head(4, v.length), ...v.map(cbor)]);
    return Buffer.concat([head(2, v.length), Buffer.from(v)]);
}

const operations = { Sign: 1, Generate: 5, Rotate: 8 };
function auth(operation, fields) {
    const request_id = crypto.randomBytes(16), time_ms = Date.now();
    const body = cbor([1, operations[operation], request_id, time_ms, identity.id, ...fields]);
    const signature = Buffer.from(ed25519.sign(Buffer.concat([Buffer.from("countersign-tee-request-1\n"), body]), seed));
    return { request_id, time_ms, caller: identity.id, signature };
}

function call(method, message) {
    return new Promise((resolve) => {
        tee[method](message, { deadline: Date.now() + 15000 }, (error, answer) =>
            resolve(error ? { code: error.metadata.get("countersign-code")[0] ?? grpc.status[error.code], text: error.details } : answer));
    });
}

const digest = crypto.createHash("sha256").update("a payment").digest();
const schemes = [
    [1, "ecdsa-secp256k1", (s, k) => secp256k1.verify(s, digest, k)],
    [2, "ecdsa-p256", (s, k) => p256.verify(s, digest, k)],
    [3, "ed25519", (s, k) => ed25519.verify(s, Buffer.from("a payment"), k)],
    [4, "schnorr-bip340", (s, k) => schnorr.verify(s, digest, k)],
];

for (const [number, algorithm, verify] of schemes) {
    const record = `node-${number}-${crypto.randomBytes(4).toString("hex")}`;
    const made = await call("Generate", { auth: auth("Generate", [record, number]), record, algorithm });
    const input = number === 3 ? { message: Buffer.from("a payment") } : { digest };
    const payload = input.message ?? input.digest;
    const request = { auth: auth("Sign", [record, number, number === 3 ? 1 : 0, payload]), record, algorithm, ...input };
    const signed = await call("Sign", request);
    check(`sign-${algorithm}`, signed.signature && made.public_key.equals(signed.public_key) && verify(signed.signature, signed.public_key),
        JSON.stringify([made, signed]));
    const again = await call("Sign", request);
    check(`retry-${algorithm}`, again.signature?.equals(signed.signature) && again.audit.counter === signed.audit.counter);
    const b64 = (b) => b.toString("base64");
    const a = auth("Sign", [record, number, number === 3 ? 1 : 0, payload]);
    const r = await fetch(`${process.env.GATEWAY_HTTP}/v1/tee/sign`, { method: "POST", body: JSON.stringify({
        auth: { ...a, request_id: b64(a.request_id), signature: b64(a.signature) }, record, algorithm,
        ...(number === 3 ? { message: b64(payload) } : { digest: b64(payload) }) }) });
    const j = await r.json();
    check(`http-${algorithm}`, r.status === 200 && verify(Buffer.from(j.signature, "base64"), signed.public_key), JSON.stringify(j));
    const other = await call("Sign", { ...request, record: "node-none" });
    check(`changed-${algorithm}`, ["REQUEST_REPLAY", "CALLER_AUTH"].includes(other.code), JSON.stringify(other));
    const rotated = await call("Rotate", { auth: auth("Rotate", [[record], "", 1]), records: [record], kms_key_id: "", fresh: true });
    check(`rotate-${algorithm}`, rotated.rotated === 1 && rotated.rows[0].version === 2, JSON.stringify(rotated));
}
const document = await call("Attest", { nonce: crypto.randomBytes(32) });
check("attest", document.document?.length > 1000);
tee.close();
process.exit(failed ? 1 : 0);
