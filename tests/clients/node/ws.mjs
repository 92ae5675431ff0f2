// A client of the kind web front ends have: the `ws` package, with an HTTP upgrade on the Unix socket.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import WebSocket from 'ws';

import { inbox, main, story } from './story.mjs';

await main('ws', async (socket) => {
  const client = await connect(socket);
  const raw = await connect(socket);
  const frames = { send: (body) => raw.webSocket.send(body), receive: raw.take };

  await story({ calls: calls(client), frames, name: 'ws', socket });
  await messages(raw);
  await farewell(client);
  await farewell(raw);
});

/** What WebSocket adds: messages in fragments, pings, messages that are not text. */
async function messages({ webSocket, take }) {
  const ping = (id) => JSON.stringify({ jsonrpc: '2.0', id, method: 'system.ping' });
  const text = ping('in fragments 🧩');
  const bytes = Buffer.from(text);
  const inTheEmoji = bytes.indexOf('🧩') + 2;
  webSocket.send(bytes.subarray(0, 5), { binary: false, fin: false });
  webSocket.send(bytes.subarray(5, inTheEmoji), { binary: false, fin: false });
  webSocket.ping('between');
  webSocket.send(bytes.subarray(inTheEmoji), { binary: false, fin: true });
  const [payload] = await once(webSocket, 'pong');
  assert.equal(payload.toString(), 'between', 'a ping between two fragments is answered');
  assert.equal((await take()).id, 'in fragments 🧩');
  for (let id = 0; id < 50; id += 1) webSocket.send(ping(id));
  const ids = [];
  for (let id = 0; id < 50; id += 1) ids.push((await take()).id);
  assert.deepEqual(ids.sort((a, b) => a - b), Array.from({ length: 50 }, (_, id) => id), 'fifty at once');
}

/** Closes as RFC 6455 says: the daemon answers the close. */
async function farewell({ webSocket }) {
  webSocket.close(1000, 'done');
  const [code] = await once(webSocket, 'close');
  assert.equal(code, 1000, 'the code of the close');
}

function calls({ webSocket, take }) {
  const waiting = new Map();
  const notified = inbox();
  let lastId = 0;
  const listen = async () => {
    for (;;) {
      const { id, result, error, method, params } = await take();
      if (method === 'events.event') {
        notified.put(params);
        continue;
      }
      const { resolve, reject } = waiting.get(id) ?? assert.fail(`an answer nobody waits for: ${id}`);
      waiting.delete(id);
      if (error) reject(error);
      else resolve(result);
    }
  };
  listen().catch((error) => {
    for (const { reject } of waiting.values()) reject(error);
    notified.end(error.message);
  });
  return {
    call: (method, params) => new Promise((resolve, reject) => {
      lastId += 1;
      waiting.set(lastId, { resolve, reject });
      webSocket.send(JSON.stringify({ jsonrpc: '2.0', id: lastId, method, params }));
    }),
    events: notified.take,
    notify: (method, params) => webSocket.send(JSON.stringify({ jsonrpc: '2.0', method, params })),
  };
}

async function connect(socket) {
  const webSocket = new WebSocket(`ws+unix://${socket}:/`);
  const { put, end, take } = inbox();
  webSocket.on('message', (data, isBinary) => {
    if (isBinary) end('a binary message came');
    else put(JSON.parse(data.toString()));
  });
  webSocket.on('close', (code) => end(`closed with ${code}`));
  await once(webSocket, 'open');
  webSocket.on('error', (error) => end(error.message));
  return { webSocket, take };
}
