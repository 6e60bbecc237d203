// tee_verify.cjs ALGORITHM PUBLIC-KEY SIGNATURE MESSAGE-FILE: exit 0 when @noble/curves says that the signature is good.
// Hex; signatures are r || s (low s on secp256k1), R || S or BIP-340's.
const { readFileSync } = require("fs");
const { createHash } = require("crypto");
const [algorithm, key, signature, file] = process.argv.slice(2);
const message = readFileSync(file);
const digest = createHash("sha256").update(message).digest();
const { secp256k1, schnorr } = require("@noble/curves/secp256k1");
const { p256 } = require("@noble/curves/p256");
const { ed25519 } = require("@noble/curves/ed25519");
const verify = {
  "ecdsa-secp256k1": () => secp256k1.verify(signature, digest, key, { lowS: true }),
  "ecdsa-p256": () => p256.verify(signature, digest, key, { lowS: false }),
  ed25519: () => ed25519.verify(signature, message, key),
  "schnorr-bip340": () => schnorr.verify(signature, message, key),
};
process.exit(verify[algorithm]() ? 0 : 1);
