// The story every Node client tells the daemon, whatever carries it.
//
// `calls` is the client's own way of calling: `call(method, params)` gives the result or throws what
// has `code`, `message` and `data`; `notify(method, params)` sends and does not wait; `events()` gives
// the next notification of a subscription.
// `frames` is a second connection that carries what a client library would not send:
// `send(text or bytes)` puts one frame on it, `receive()` gives the next frame as JSON.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import process from 'node:process';

const MEBIBYTE = 1024 * 1024;

/** What people and tools write: emoji, CJK, combining marks, right to left, every control character. */
const TEXTS = [
  'Grüße, 世界 — こんにちは, 안녕, שלום 👩‍👩‍👧‍👦🏳️‍🌈',
  'é and e\u0301 stay two texts',
  Array.from({ length: 32 }, (_, code) => String.fromCharCode(code)).join('') + '\u007f\u0085\u2028\u2029\ufeff\uffff',
  '',
];

/** Runs a client's `tell` and ends the process: 0, or 1 with what was not as expected. */
export async function main(name, tell) {
  const socket = process.argv[2];
  if (!socket) {
    console.error(`usage: node ${name}.mjs SOCKET`);
    process.exit(2);
  }
  const watchdog = setTimeout(() => {
    console.error(`${name}: no end after 60 s, in: ${chapter}`);
    process.exit(1);
  }, 60_000);
  try {
    await tell(socket);
  } catch (error) {
    console.error(`${name}: in ${chapter}: ${error?.stack ?? JSON.stringify(error)}`);
    if (error?.data !== undefined) console.error('data:', JSON.stringify(error.data));
    process.exit(1);
  }
  clearTimeout(watchdog);
  console.log(`${name}: all as expected`);
}

let chapter = 'the connection';

export async function story({ calls, frames, name, socket }) {
  const { call, notify, events } = calls;
  const key = `${name}-${process.pid}`;

  chapter = 'the greeting';
  const hello = await call('system.hello', {
    client: { name, version: '1.0.0', later: true },
    protocol: 1,
    a_field_of_a_later_protocol: [1],
  });
  assert.equal(hello.name, 'aetherd');
  assert.equal(hello.protocol, 1);
  assert.equal(hello.paths.socket, socket);
  assert.equal(hello.limits.content_bytes, 8 * MEBIBYTE);
  const pong = await call('system.ping');
  assert.equal(pong.instance_id, hello.instance_id);

  chapter = 'project.open';
  const path = `/home/me/${key}`;
  const opened = await call('project.open', { path });
  assert.equal(opened.created, true);
  assert.equal(opened.project.name, key, 'a project is called like its folder');
  const project_id = opened.project.id;
  const again = await call('project.open', { path });
  assert.equal(again.created, false);
  assert.equal(again.project.id, project_id);

  chapter = 'session.start';
  const session_id = `ses-${key}`;
  const start = { id: session_id, project_id, kind: 'chat', title: 'Größe 📏' };
  const session = await call('session.start', start);
  assert.equal(session.id, session_id);
  assert.equal(session.title, 'Größe 📏');
  assert.equal(session.message_count, 0);
  assert.deepEqual(await call('session.start', start), session, 'a retry gives the stored session');
  await refused(call('session.start', { ...start, title: 'Other' }), 1409, 'conflict');

  chapter = 'message.append, three without waiting';
  const append = (index) => ({
    id: `${key}-${index}`, session_id, role: index % 2 ? 'assistant' : 'user',
    content: `message ${index}`, expected_index: index,
  });
  const appended = await Promise.all([0, 1, 2].map((index) => call('message.append', append(index))));
  assert.deepEqual(appended.map((message) => message.index_in_session), [0, 1, 2]);
  assert.deepEqual(appended.map((message) => message.id), [0, 1, 2].map((index) => `${key}-${index}`));

  chapter = 'message.append, retried';
  const { expected_index: _, ...retry } = append(1);
  assert.deepEqual(await call('message.append', retry), appended[1]);
  await refused(call('message.append', { ...retry, content: 'something else' }), 1409, 'conflict');
  assert.equal((await call('session.get', { id: session_id })).message_count, 3, 'a retry is stored once');

  chapter = 'message.append_many';
  const many = await call('message.append_many', {
    session_id, expected_index: 3,
    messages: TEXTS.map((content, at) => ({ id: `${key}-text-${at}`, role: 'tool', content, metadata: { text: content } })),
  });
  assert.deepEqual(many.messages.map((message) => message.index_in_session), [3, 4, 5, 6]);
  assert.ok(many.messages.every((message) => message.created));
  const late = await refused(
    call('message.append_many', {
      session_id, expected_index: 0,
      messages: [{ role: 'user', content: 'a' }, { role: 'user', content: 'b' }],
    }),
    1412, 'precondition_failed',
  );
  assert.equal(late.expected, 0);
  assert.equal(late.actual, 7);
  assert.equal((await call('session.get', { id: session_id })).message_count, 7, 'all or none');

  chapter = 'texts come back as they were sent';
  for (const [at, content] of TEXTS.entries()) {
    const message = await call('message.get', { id: `${key}-text-${at}` });
    assert.equal(message.content, content);
    assert.deepEqual(message.metadata, { text: content });
  }

  chapter = 'message.update with a merge patch';
  await call('message.update', {
    id: `${key}-1`,
    metadata: { tool_calls: [{ id: 't1', status: 'pending' }], usage: { in: 10, out: 1 }, thoughts: 'hm' },
  });
  const patched = await call('message.update', {
    id: `${key}-1`,
    metadata: { tool_calls: [{ id: 't1', status: 'success' }], usage: { out: 20 }, thoughts: null },
  });
  assert.deepEqual(patched.metadata, { tool_calls: [{ id: 't1', status: 'success' }], usage: { in: 10, out: 20 } });
  assert.equal(patched.content, 'message 1', 'what a patch does not name stays');
  assert.deepEqual(await call('message.get', { id: `${key}-1` }), patched);

  chapter = 'history.recent';
  const recent = await call('history.recent', { session_id, limit: 2 });
  assert.deepEqual(recent.messages.map((message) => message.index_in_session), [5, 6], 'oldest first');
  assert.equal(recent.has_more, true);

  chapter = 'history.page';
  for (const [order, expected] of [['oldest', [0, 1, 2, 3, 4, 5, 6]], ['newest', [6, 5, 4, 3, 2, 1, 0]]]) {
    const indices = [];
    let cursor;
    do {
      const page = await call('history.page', { session_id, order, limit: 3, ...(cursor && { cursor }) });
      assert.ok(page.messages.length <= 3);
      indices.push(...page.messages.map((message) => message.index_in_session));
      cursor = page.next_cursor;
    } while (cursor !== null);
    assert.deepEqual(indices, expected, order);
  }

  chapter = 'session.list';
  const list = await call('session.list', { project_id });
  assert.equal(list.sessions.length, 1);
  assert.equal(list.sessions[0].id, session_id);
  assert.equal(list.sessions[0].message_count, 7);
  assert.equal(list.next_cursor, null);

  chapter = 'settings of two scopes';
  const theme = `${key}.theme`;
  await call('settings.set', { key: theme, value: { name: 'light', colors: ['#fff', null, 1.5] } });
  await call('settings.set', { key: theme, value: 'dark', project_id });
  const ofProject = await call('settings.get', { key: theme, project_id });
  assert.equal(ofProject.value, 'dark');
  assert.equal(ofProject.resolved, 'project');
  const ofUser = await call('settings.get', { key: theme });
  assert.deepEqual(ofUser.value, { name: 'light', colors: ['#fff', null, 1.5] });
  assert.equal(ofUser.resolved, 'user');
  const unset = await call('settings.get', { key: `${key}.nobody` });
  assert.equal(unset.value, null);
  assert.equal(unset.resolved, null);

  chapter = 'errors';
  await refused(call('no.such_method', {}), -32601, 'method_not_found');
  const typo = await refused(
    call('message.append', { session_id, role: 'user', content: 'x', metadat: {} }),
    -32602, 'invalid_params',
  );
  assert.equal(typo.field, 'metadat', 'the error names the unknown field');
  const role = await refused(
    call('message.append', { session_id, role: 'robot', content: 'x' }), -32602, 'invalid_params',
  );
  assert.equal(role.field, 'role');
  const missing = await refused(call('message.append', { session_id, role: 'user' }), -32602, 'invalid_params');
  assert.equal(missing.field, 'content', 'the error names the missing field');
  const absent = await refused(call('session.get', { id: 'nobody' }), 1404, 'not_found');
  assert.equal(absent.retryable, false);
  assert.equal((await call('session.get', { id: session_id })).message_count, 7, 'what was refused is not stored');

  chapter = 'a notification';
  await notify('no.such_method', {});
  await notify('settings.set', { key: `${key}.notified`, value: true });
  await notify('$/cancelRequest', { id: 1 });
  // Writes are applied in the order sent: once this one is answered, the notification is carried out.
  await call('settings.set', { key: `${key}.after`, value: true });
  assert.equal((await call('settings.get', { key: `${key}.notified` })).value, true);

  chapter = 'one mebibyte there and back';
  const large = 'Zeile 🧱\n'.repeat(MEBIBYTE / 11).padEnd(MEBIBYTE, '\u0001');
  const stored = await call('message.append', { session_id, role: 'user', content: large });
  assert.ok(stored.content === large, 'the answer has the content');
  const read = await call('message.get', { id: stored.id });
  assert.ok(read.content === large, 'a later read has the content');

  chapter = 'an image there and back';
  const image = Buffer.from(Array.from({ length: 70_001 }, (_, at) => (at * 7) % 256));
  const put = await call('attachment.put', { mime: 'image/png', data: image.toString('base64'), name: 'shot.png' });
  assert.equal(put.hash, createHash('sha256').update(image).digest('hex'));
  assert.equal(put.size, image.length);
  const seen = await call('message.append', {
    session_id, role: 'user', content: 'look', attachments: [put.hash],
  });
  assert.deepEqual(seen.attachments, [
    { hash: put.hash, mime: 'image/png', name: 'shot.png', size: image.length },
  ]);
  const got = await call('attachment.get', { hash: put.hash });
  assert.ok(Buffer.from(got.data, 'base64').equals(image), 'the bytes that were put');

  chapter = 'following the changes';
  const since = (await call('events.since')).cursor;
  const { subscription } = await call('events.subscribe', { session_id, topics: ['message', 'session'] });
  await call('settings.set', { key: `${key}.unheard`, value: 1 });
  const heard = await call('message.append', { session_id, role: 'user', content: 'heard 👂' });
  await call('session.update', { id: session_id, title: 'Followed' });
  const first = await events();
  assert.equal(first.subscription, subscription);
  assert.equal(first.event.topic, 'message.appended');
  assert.deepEqual(first.event.data, heard);
  const second = await events();
  assert.equal(second.event.topic, 'session.updated');
  assert.equal(second.event.data.title, 'Followed');
  assert.equal(second.event.seq, first.event.seq + 1);
  const page = await call('events.since', { cursor: since, session_id });
  assert.deepEqual(page.events.map((event) => event.cursor), [first.event.cursor, second.event.cursor]);
  assert.deepEqual(await call('events.unsubscribe', { subscription }), { unsubscribed: true });

  await rawStory({ frames, key, session_id });

  chapter = 'the end';
  assert.equal((await call('system.ping')).instance_id, hello.instance_id, 'one daemon served it all');
}

/** What a client library would not send. */
async function rawStory({ frames, key, session_id }) {
  const { send, receive } = frames;
  const exchange = async (text) => {
    await send(text);
    return receive();
  };

  chapter = 'frames that are not JSON';
  const broken = ['{"jsonrpc": "2.0", "id": 1, "method": ', '[1, 2', '{"jsonrpc": "2.0"} trailing'];
  for (const text of broken) {
    const answer = await exchange(text);
    assert.equal(answer.id, null, text);
    assert.equal(answer.error.code, -32700, text);
    assert.equal(answer.error.data.kind, 'parse_error', text);
  }

  chapter = 'frames that are JSON and not a request';
  for (const text of ['{}', '{"jsonrpc": "1.0", "id": 1, "method": "system.ping"}', '[]']) {
    const answer = await exchange(text);
    assert.equal(answer.error.code, -32600, text);
    assert.equal(answer.error.data.kind, 'invalid_request', text);
  }

  chapter = 'ids of every kind, on the same connection';
  for (const id of ['a string', '', 7, -1, 9007199254740991, null]) {
    const answer = await exchange(JSON.stringify({ jsonrpc: '2.0', id, method: 'system.ping' }));
    assert.equal(answer.jsonrpc, '2.0');
    assert.equal(answer.id, id);
    assert.equal(answer.result.protocol, 1);
    assert.ok(!('error' in answer));
  }

  chapter = 'a batch';
  const ping = (id) => ({ jsonrpc: '2.0', id, method: 'system.ping' });
  const answers = await exchange(JSON.stringify([
    ping('first'),
    { jsonrpc: '2.0', method: 'settings.set', params: { key: `${key}.batch`, value: 'set by a batch' } },
    17,
    { jsonrpc: '2.0', id: 'typo', method: 'session.get', params: { idd: session_id } },
    { jsonrpc: '2.0', id: 'write', method: 'settings.set', params: { key: `${key}.batch.2`, value: 2 } },
    { jsonrpc: '2.0', id: 'unknown', method: 'no.such_method' },
  ]));
  assert.ok(Array.isArray(answers), 'a batch is answered by an array');
  const by = new Map(answers.map((answer) => [answer.id, answer]));
  assert.equal(answers.length, 5, 'all but the notification are answered');
  assert.equal(by.get('first').result.protocol, 1);
  assert.equal(by.get(null).error.code, -32600);
  assert.equal(by.get('typo').error.code, -32602);
  assert.equal(by.get('write').result.value, 2);
  assert.equal(by.get('unknown').error.code, -32601);
  const get = { jsonrpc: '2.0', id: 1, method: 'settings.get', params: { key: `${key}.batch` } };
  const setting = await exchange(JSON.stringify(get));
  assert.equal(setting.result.value, 'set by a batch');

  chapter = 'a batch of notifications alone is not answered';
  await send(JSON.stringify([{ jsonrpc: '2.0', method: 'system.ping' }, { jsonrpc: '2.0', method: 'system.ping' }]));
  assert.equal((await exchange(JSON.stringify(ping('next')))).id, 'next');

  chapter = 'a batch past the limit';
  const tooLong = await exchange(JSON.stringify(Array.from({ length: 101 }, (_, id) => ping(id))));
  assert.equal(tooLong.id, null);
  assert.equal(tooLong.error.code, 1413);
  assert.equal(tooLong.error.data.kind, 'too_large');
  assert.equal(tooLong.error.data.limit, 100);
  const full = await exchange(JSON.stringify(Array.from({ length: 100 }, (_, id) => ping(id))));
  assert.equal(full.length, 100);
}

/** Waits for a call's refusal, and gives its `data`. */
async function refused(calling, code, kind) {
  let result;
  try {
    result = await calling;
  } catch (error) {
    if (typeof error?.code !== 'number') throw error;
    assert.equal(error.code, code, `code of: ${error.message}`);
    assert.equal(error.data?.kind, kind, `data.kind of: ${error.message}`);
    assert.equal(typeof error.data.retryable, 'boolean');
    assert.ok(error.message.length > 0);
    return error.data;
  }
  assert.fail(`expected ${kind}, got the result ${JSON.stringify(result)}`);
}

/** A queue between a connection that gets frames and a story that asks for them. */
export function inbox() {
  const frames = [];
  const waiting = [];
  let ended;
  return {
    put(frame) {
      const next = waiting.shift();
      if (next) next.resolve(frame);
      else frames.push(frame);
    },
    end(reason) {
      ended = new Error(`the connection ended: ${reason}`);
      for (const next of waiting.splice(0)) next.reject(ended);
    },
    take() {
      if (frames.length > 0) return Promise.resolve(frames.shift());
      if (ended) return Promise.reject(ended);
      return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
    },
  };
}
