// A client of the kind editors have: `vscode-jsonrpc`, with Content-Length framing on the socket.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import {
  createMessageConnection,
  ParameterStructures,
  StreamMessageReader,
  StreamMessageWriter,
} from 'vscode-jsonrpc/node';

import { inbox, main, story } from './story.mjs';

await main('vscode_jsonrpc', async (socket) => {
  const trouble = [];
  const stream = await connect(socket);
  const connection = createMessageConnection(
    new StreamMessageReader(stream),
    new StreamMessageWriter(stream),
  );
  connection.onError(([error]) => trouble.push(error));
  connection.onUnhandledNotification((message) => trouble.push(message));
  const notified = inbox();
  connection.onNotification('events.event', (params) => notified.put(params));
  connection.listen();
  const calls = {
    call: (method, params) => params === undefined
      ? connection.sendRequest(method)
      : connection.sendRequest(method, ParameterStructures.byName, params),
    events: notified.take,
    notify: (method, params) => connection.sendNotification(method, ParameterStructures.byName, params),
  };

  const rawStream = await connect(socket);
  const { put, end, take } = inbox();
  const reader = new StreamMessageReader(rawStream);
  reader.onError(end);
  reader.onClose(() => end('closed by the daemon'));
  reader.listen(put);
  const frames = {
    send: (body) => rawStream.write(frame(body)),
    receive: take,
  };

  await story({ calls, frames, name: 'vscode_jsonrpc', socket });
  await headers({ rawStream, take });
  assert.deepEqual(trouble, [], 'nothing came that the library did not expect');
  connection.end();
  rawStream.end();
});

/** The base protocol's headers, as its specification allows them, and cut anywhere. */
async function headers({ rawStream, take }) {
  const ping = (id) => JSON.stringify({ jsonrpc: '2.0', id, method: 'system.ping', params: {} });
  const withType = 'Content-Type: application/vscode-jsonrpc; charset=utf-8\r\n';
  rawStream.write(frame(ping(1), withType));
  assert.equal((await take()).id, 1, 'a Content-Type after the length');
  rawStream.write(Buffer.concat([frame(ping(2)), frame(ping(3)), frame(ping(4))]));
  const ids = [await take(), await take(), await take()].map((answer) => answer.id).sort();
  assert.deepEqual(ids, [2, 3, 4], 'three frames in one write');
  for (const byte of frame(ping('é'))) {
    rawStream.write(Buffer.of(byte));
    await new Promise(setImmediate);
  }
  assert.equal((await take()).id, 'é', 'a frame a byte at a time');
  rawStream.write(frame(Buffer.from([0x22, 0xff, 0xfe, 0x22])));
  assert.equal((await take()).error.code, -32700, 'bytes that are not UTF-8');
  rawStream.write(frame(''));
  assert.equal((await take()).error.code, -32700, 'an empty body');
  rawStream.write(frame(ping(5)));
  assert.equal((await take()).id, 5, 'and the connection lives on');
}

/** Frames a body; its length counts bytes. */
function frame(body, more = '') {
  const bytes = Buffer.from(body);
  return Buffer.concat([Buffer.from(`Content-Length: ${bytes.length}\r\n${more}\r\n`), bytes]);
}

async function connect(socket) {
  const stream = net.connect(socket);
  await once(stream, 'connect');
  return stream;
}
