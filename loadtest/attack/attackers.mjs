// Attackers that cost a service more than they pay, all at once, from a bounded share of one core.
//
//   node attackers.mjs '{"base": URL, "metrics": URL, "viewer": TOKEN, "operator": TOKEN, "participant": TOKEN,
//                        "fat": ID, "big": ID, "seconds": 60, "share": 0.5}'
//
// Each attack runs in rounds. Between rounds the process sleeps until its own processor time is back under
// `share` of a core. It prints one line of JSON: how often each attack was tried and what it met.
import http from 'node:http';
import net from 'node:net';

const plan = JSON.parse(process.argv[2]);
const ends = Date.now() + plan.seconds * 1_000;
const base = new URL(plan.base);
const metrics = new URL(plan.metrics);
const tried = {};

/** Counts what an attack met. */
function met(attack, what) {
    tried[attack] ??= {};
    tried[attack][what] = (tried[attack][what] ?? 0) + 1;
}

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const isOver = () => Date.now() >= ends;

/** Sleeps while this process has used more than its share of a core. */
const began = Date.now();
async function stayWithinShare() {
    for (;;) {
        const { user, system } = process.cpuUsage();
        const used = (user + system) / 1_000;
        const allowed = (Date.now() - began) * plan.share;
        if (used <= allowed || isOver()) return;
        await wait(Math.min(50, used - allowed));
    }
}

const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });

/** One request; the answer is thrown away unread after `giveUpMs`. */
function request(attack, { method = 'GET', path, token, body, giveUpMs = 5_000 }) {
    return new Promise((resolve) => {
        const headers = { authorization: `Bearer ${token}` };
        if (body) headers['content-type'] = 'application/json';
        const asked = http.request({ host: base.hostname, port: base.port, agent, method, path, headers }, (answer) => {
            answer.on('data', () => {});
            answer.on('end', () => { met(attack, answer.statusCode); resolve(); });
            answer.on('error', () => { met(attack, 'cut'); resolve(); });
        });
        asked.setTimeout(giveUpMs, () => asked.destroy());
        asked.on('error', () => { met(attack, 'gone'); resolve(); });
        asked.end(body);
    });
}

/** Keeps `count` connections open by `open`, and opens another when one ends. */
async function hold(attack, count, where, open) {
    const sockets = new Set();
    while (!isOver()) {
        while (sockets.size < count && !isOver()) {
            const socket = net.connect(Number(where.port), where.hostname);
            sockets.add(socket);
            socket.on('error', () => {});
            socket.on('data', () => {});
            socket.on('close', () => { sockets.delete(socket); met(attack, 'closed'); });
            socket.on('connect', () => { met(attack, 'open'); open(socket); });
            await wait(2);
            await stayWithinShare();
        }
        await wait(50);
    }
    for (const socket of sockets) socket.destroy();
}

/** Sends a byte now and then for as long as the socket takes it. */
function drip(socket, everyMs, byte) {
    const timer = setInterval(() => socket.write(byte), everyMs);
    socket.on('close', () => clearInterval(timer));
}

async function rounds(attack, pauseMs, once) {
    while (!isOver()) {
        await stayWithinShare();
        await once();
        await wait(pauseMs);
    }
}

const filter = (count) => Array.from({ length: count }, (_, at) => `metadata.k${at}=v`).join('&');
const stale = JSON.stringify({
    commands: Array.from({ length: 500 }, () => ({ session_id: plan.big, command: 'switch', expected_version: 1 })),
});

const advancing = (id, ms) => ({
    method: 'POST', path: '/v1/sessions', token: plan.operator,
    body: JSON.stringify({
        session_id: id, sync_mode: 'per_cycle', time_per_cycle_ms: ms, auto_advance: true,
        participants: [{ participant_id: 'a' }, { participant_id: 'b' }],
    }),
});

const slowBody = (path) => (socket) => {
    socket.write(`POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 65000\r\n\r\n{`);
    socket.write(' '.repeat(60_000));
    drip(socket, 2_000, ' ');
};
const slowHead = (socket) => {
    socket.write('GET /v1/time HTTP/1.1\r\nHost: x\r\nX-Slow: ');
    drip(socket, 2_000, 'a');
};
const silentHttp2 = (socket) => socket.write('PRI * HTTP/2.0');
const idleHttp2 = (socket) => {
    // The preface, empty settings, then an answer to each ping.
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]));
    socket.on('data', (data) => {
        if (data.length >= 17 && data[3] === 6) socket.write(Buffer.concat([Buffer.from([0, 0, 8, 6, 1, 0, 0, 0, 0]), data.subarray(9, 17)]));
    });
};

const attacks = [
    rounds('labels', 100, () => Promise.all([8, 9, 400].map((labels) =>
        request('labels', { path: `/v1/sessions?limit=1000&${filter(labels)}`, token: plan.viewer, giveUpMs: 150 })))),
    rounds('history', 200, () =>
        request('history', { path: `/v1/sessions/${plan.fat}/history?limit=1000`, token: plan.viewer })),
    rounds('list', 200, () => request('list', { path: '/v1/sessions?limit=1000', token: plan.viewer })),
    rounds('batch', 200, () =>
        request('batch', { method: 'POST', path: '/v1/sessions/batch', token: plan.participant, body: stale })),
    rounds('fat switch', 500, () =>
        request('fat switch', { method: 'POST', path: `/v1/sessions/${plan.fat}/switch`, token: plan.operator })),
    rounds('fast advance', 1_000, () => request('fast advance', advancing('fast', 100))),
    rounds('advance', 1_000, async () => {
        const id = `advance-${Date.now()}`;
        await request('advance', advancing(id, 1_000));
        await request('advance', { method: 'POST', path: `/v1/sessions/${id}/start`, token: plan.operator });
    }),
    rounds('ready', 20, () => request('ready', { path: '/ready', token: '' })),
    hold('slow body', 200, base, slowBody('/v1/time')),
    hold('slow body, timesync', 100, base, slowBody('/v1/timesync')),
    hold('slow head', 200, base, slowHead),
    hold('silent HTTP/2', 200, base, silentHttp2),
    hold('idle HTTP/2', 100, base, idleHttp2),
    hold('silence', 500, base, () => {}),
    hold('metrics: slow head', 50, metrics, slowHead),
    hold('metrics: silent HTTP/2', 50, metrics, silentHttp2),
    hold('metrics: silence', 100, metrics, () => {}),
];
await Promise.race([Promise.all(attacks), wait(ends - Date.now() + 2_000)]);
const { user, system } = process.cpuUsage();
console.log(JSON.stringify({ tried, cores: (user + system) / 1e6 / ((Date.now() - began) / 1_000) }));
process.exit(0);
