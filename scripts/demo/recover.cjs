// Recovers the sender of a signed raw transaction with ethers: a second implementation, which knows nothing of Countersign.
// usage: node recover.cjs RAW_HEX; prints {"hash", "from", "type"}; NODE_PATH leads to ethers (build/npm, npm ci).
const { Transaction } = require("ethers");

const tx = Transaction.from(process.argv[2]);
if (!tx.isSigned() || tx.from === null) {
  console.error("recover: not a signed transaction");
  process.exit(1);
}
console.log(JSON.stringify({ hash: tx.hash, from: tx.from, type: tx.type, to: tx.to, value: tx.value.toString() }));
