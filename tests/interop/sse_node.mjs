// A room's event stream through two EventSource clients of Node: the npm package eventsource and Node's own. What a client
// sees must be what was broadcast: ids, types, data; late, after a cut connection (Last-Event-ID, retry), and side by side.
// Usage: sse_node.mjs npm|builtin URL-OF-THE-GATEWAY. Prints `ok NAME` or `not ok NAME`.
import crypto from "node:crypto";
import net from "node:net";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const [which, gateway] = process.argv.slice(2);
const peers = fileURLToPath(new URL("../../build/peers/node/package.json", import.meta.url));
const Source = which === "npm" ? createRequire(peers)("eventsource").EventSource : globalThis.EventSource;
if (!Source) {
    console.log(`not ok ${which}: no EventSource`);
    process.exit(1);
}
let failed = false;

function check(name, good, detail) {
    failed ||= !good;
    console.log(good ? `ok ${which}/${name}` : `not ok ${which}/${name} (${JSON.stringify(detail)})`);
}

function message(sender, size, receiver = null) {
    return { sender, receiver, body: crypto.randomBytes(size).toString("base64url") };
}

async function broadcast(room, m, base = gateway) {
    const answer = await fetch(`${base}/rooms/${room}/broadcast`, {
        method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(m) });
    if (answer.status !== 200) {
        throw new Error(`broadcast: ${answer.status} ${await answer.text()}`);
    }
    return (await answer.json()).id;
}

// An EventSource that collects; wait(n) until it has seen n events
class Reader {
    constructor(url) {
        this.events = [];
        this.errors = 0;
        this.opened = 0;
        this.source = new Source(url);
        this.source.onopen = () => { this.opened++; };
        this.source.onerror = () => { this.errors++; };
        this.source.onmessage = () => { this.events.push("an event without its type"); };
        this.source.addEventListener("new-message", (e) => { this.events.push({ id: e.lastEventId, data: e.data }); });
    }

    async until(condition, seconds = 20) {
        for (const end = Date.now() + seconds * 1000; Date.now() < end;) {
            if (condition()) {
                return true;
            }
            await new Promise((resolve) => setTimeout(resolve, 5));
        }
        return false;
    }

    wait(n, seconds) {
        return this.until(() => this.events.length >= n, seconds);
    }

    // the events are exactly these, with ids from `first`
    equal(messages, first = 0) {
        return this.events.length === messages.length && this.events.every((e, i) =>
            e.id === String(first + i) && JSON.stringify(JSON.parse(e.data)) === JSON.stringify(messages[i]));
    }

    close() {
        this.source.close();
    }
}

const subscribe = (room, base = gateway) => `${base}/rooms/${room}/subscribe`;

async function live_and_late() {
    const sent = [];
    const live = new Reader(subscribe("live"));
    await live.until(() => live.opened > 0);
    for (const size of [0, 1, 2, 3, 100, 4000, 43000, 128 * 1024]) {
        for (const receiver of [null, 0, 65535]) {
            sent.push(message(sent.length % 3, size, receiver));
            const id = await broadcast("live", sent[sent.length - 1]);
            if (id !== sent.length - 1) {
                check("broadcast-tells-the-id", false, id);
            }
        }
    }
    const late = new Reader(subscribe("live"));
    await live.wait(sent.length);
    await late.wait(sent.length);
    check("live", live.equal(sent) && live.errors === 0, live.events.length);
    check("late-gets-the-history", late.equal(sent) && late.errors === 0, late.events.length);
    const others = new Reader(`${subscribe("live")}?not_from=1`);
    await others.wait(sent.filter((m) => m.sender !== 1).length);
    check("not-from", others.events.every((e) => JSON.parse(e.data).sender !== 1 &&
        JSON.stringify(JSON.parse(e.data)) === JSON.stringify(sent[Number(e.id)])) &&
        others.events.length === sent.filter((m) => m.sender !== 1).length, others.events.length);
    live.close();
    late.close();
    others.close();
}

async function many_rooms() {
    const rooms = Array.from({ length: 30 }, (_, i) => `signing_${i + 1}`);
    const good = await Promise.all(rooms.map(async (room, r) => {
        const reader = new Reader(subscribe(room));
        const sent = [];
        for (let i = 0; i < 20; i++) {
            sent.push(message(r, 10 * r + i));
            await broadcast(room, sent[i]);
        }
        await reader.wait(20);
        reader.close();
        return reader.equal(sent);
    }));
    check("30-rooms-at-once", good.every(Boolean), good.filter((g) => !g).length);
}

// A TCP relay that cuts the first connection after so many bytes from the gateway, and keeps what the clients ask for
async function relay(cut_after) {
    const to = new URL(gateway);
    const seen = [];
    const server = net.createServer((client) => {
        const up = net.connect(Number(to.port), to.hostname);
        const mine = { head: "", at: Date.now(), cut: 0 };
        let count = 0;
        seen.push(mine);
        client.on("data", (d) => {
            mine.head += d.toString("latin1");
            up.write(d);
        });
        up.on("data", (d) => {
            const rest = seen.length === 1 ? cut_after - count : d.length;
            count += d.length;
            client.write(d.subarray(0, Math.max(0, rest)));
            if (rest < d.length && !mine.cut) {
                mine.cut = Date.now();
                client.destroySoon();
                up.destroy();
            }
        });
        for (const [a, b] of [[client, up], [up, client]]) {
            a.on("error", () => b.destroy());
            a.on("close", () => b.destroy());
        }
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    return { seen, server, base: `http://127.0.0.1:${server.address().port}` };
}

// The connection is cut in the middle of an event: after `retry` the client asks for what comes after the last whole one.
async function resume(room, cut_after) {
    const { seen, server, base } = await relay(cut_after);
    const sent = Array.from({ length: 10 }, () => message(0, 300));
    for (const m of sent) {
        await broadcast(room, m);
    }
    const reader = new Reader(subscribe(room, base));
    await reader.until(() => reader.errors > 0); // it has read what came before the cut
    const before = reader.events.length;
    for (let i = 0; i < 5; i++) {
        sent.push(message(1, 50));
        await broadcast(room, sent[sent.length - 1]);
    }
    await reader.wait(sent.length, 15);
    const asked = /^last-event-id: *(\S+)\r$/im.exec(seen[1]?.head ?? "")?.[1];
    check(`${room}/every-event-once`, reader.equal(sent), reader.events.map((e) => e.id));
    check(`${room}/last-event-id`, before > 0 && before < 10 && asked === String(before - 1), [asked, before]);
    const pause = (seen[1]?.at ?? 0) - seen[0].cut;
    check(`${room}/retry-is-5000`, pause >= 4900 && pause < 8000, pause);
    reader.close();
    server.close();
}

async function refusals() {
    const bad = new Reader(subscribe("no%20room"));
    await bad.until(() => bad.source.readyState === Source.CLOSED);
    check("bad-name-is-final", bad.source.readyState === Source.CLOSED && bad.events.length === 0 && bad.opened === 0, bad.errors);
    const answer = await fetch(subscribe("live"), { headers: { "last-event-id": "first" } });
    check("malformed-resume-is-400", answer.status === 400 && (await answer.json()).code !== undefined, answer.status);
    await broadcast("beyond", message(0, 5));
    const ahead = await fetch(subscribe("beyond"), { headers: { "last-event-id": "9999" } });
    const text = new TextDecoder().decode((await ahead.body.getReader().read()).value);
    check("resume-of-a-forgotten-room-starts-anew", ahead.status === 200 && /(^|\n)id: ?0\n/.test(text), text);
}

await live_and_late();
await many_rooms();
await Promise.all([resume("cut-early", 900), resume("cut-late", 3000), resume("cut-at-an-odd-byte", 2001)]);
await refusals();
process.exit(failed ? 1 : 0);
