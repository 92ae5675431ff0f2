#!/usr/bin/env python3
"""A client of the kind plugins have: Python's standard library alone, one JSON value a line.

usage: client.py SOCKET

Tells the daemon the same story as the Node clients, checks each answer, and ends with 0, or with 1
and what was not as expected.
"""

import base64
import hashlib
import json
import os
import socket
import sys

MEBIBYTE = 1024 * 1024
TIMEOUT_SECONDS = 30

# What people and tools write: emoji, CJK, combining marks, right to left, every control character.
TEXTS = [
    "Grüße, 世界 — こんにちは, 안녕, שלום 👩‍👩‍👧‍👦🏳️‍🌈",
    "é and e\u0301 stay two texts",
    "".join(map(chr, range(32))) + "\u007f\u0085\u2028\u2029\ufeff\uffff",
    "",
]


class RpcError(Exception):
    """The daemon answered with an error."""

    def __init__(self, error):
        super().__init__(json.dumps(error))
        self.code = error["code"]
        self.data = error["data"]


class Client:
    """One connection, one JSON value a line."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(TIMEOUT_SECONDS)
        self.socket.connect(path)
        self.lines = self.socket.makefile("rb")
        self.last_id = 0
        self.early = {}
        self.events = []

    def send_bytes(self, data):
        self.socket.sendall(data)

    def receive_line(self):
        line = self.lines.readline()
        if not line.endswith(b"\n"):
            raise ConnectionError("the daemon closed the connection")
        return line

    def receive(self):
        return json.loads(self.receive_line())

    def exchange(self, text):
        """Sends one line and gives the next."""
        self.send_bytes(text.encode() + b"\n")
        return self.receive()

    def start(self, method, params=None):
        """Sends a call and gives its id, without waiting."""
        self.last_id += 1
        request = {"jsonrpc": "2.0", "id": self.last_id, "method": method}
        if params is not None:
            request["params"] = params
        self.send_bytes(json.dumps(request).encode() + b"\n")
        return self.last_id

    def finish(self, id):
        """Waits for the answer of one call; answers of others may come before it."""
        while id not in self.early:
            answer = self.receive()
            equal(answer["jsonrpc"], "2.0")
            if answer.get("method") == "events.event":
                self.events.append(answer["params"])
                continue
            self.early[answer["id"]] = answer
        answer = self.early.pop(id)
        equal(("result" in answer) + ("error" in answer), 1, "a result or an error")
        if "error" in answer:
            raise RpcError(answer["error"])
        return answer["result"]

    def event(self):
        """Waits for the next event of a subscription."""
        if self.events:
            return self.events.pop(0)
        notification = self.receive()
        equal((notification["method"], "id" in notification), ("events.event", False))
        return notification["params"]

    def call(self, method, params=None):
        return self.finish(self.start(method, params))

    def notify(self, method, params):
        self.send_bytes(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode() + b"\n")

    def refused(self, method, params, code, kind):
        """Makes a call that must be refused, and gives the error's data."""
        try:
            result = self.call(method, params)
        except RpcError as error:
            equal(error.code, code, f"the code of {error}")
            equal(error.data["kind"], kind, f"the kind of {error}")
            equal(type(error.data["retryable"]), bool)
            return error.data
        raise AssertionError(f"{method}: expected {kind}, got the result {result}")


def equal(actual, expected, what=""):
    if actual != expected:
        raise AssertionError(f"{what}: expected {short(expected)}, got {short(actual)}")


def short(value):
    text = repr(value)
    return text if len(text) < 2000 else f"{text[:1000]} … {len(text)} characters"


def tell_projects_and_sessions(client, key):
    path = f"/home/me/{key}"
    opened = client.call("project.open", {"path": path})
    equal(opened["created"], True)
    equal(opened["project"]["name"], key, "a project is called like its folder")
    project_id = opened["project"]["id"]
    again = client.call("project.open", {"path": path})
    equal((again["created"], again["project"]["id"]), (False, project_id))

    session_id = f"ses-{key}"
    start = {"id": session_id, "project_id": project_id, "kind": "chat", "title": "Größe 📏"}
    session = client.call("session.start", start)
    equal((session["id"], session["title"], session["message_count"]), (session_id, "Größe 📏", 0))
    equal(client.call("session.start", start), session, "a retry gives the stored session")
    client.refused("session.start", start | {"title": "Other"}, 1409, "conflict")
    return project_id, session_id


def tell_messages(client, key, session_id):
    def append(index):
        return {
            "id": f"{key}-{index}",
            "session_id": session_id,
            "role": "assistant" if index % 2 else "user",
            "content": f"message {index}",
            "expected_index": index,
        }

    ids = [client.start("message.append", append(index)) for index in range(3)]
    appended = [client.finish(id) for id in ids]
    equal([message["index_in_session"] for message in appended], [0, 1, 2], "pipelined, in the order sent")

    retry = append(1)
    del retry["expected_index"]
    equal(client.call("message.append", retry), appended[1], "a retry gives the stored message")
    client.refused("message.append", retry | {"content": "something else"}, 1409, "conflict")
    equal(client.call("session.get", {"id": session_id})["message_count"], 3, "a retry is stored once")

    many = client.call(
        "message.append_many",
        {
            "session_id": session_id,
            "expected_index": 3,
            "messages": [
                {"id": f"{key}-text-{at}", "role": "tool", "content": content, "metadata": {"text": content}}
                for at, content in enumerate(TEXTS)
            ],
        },
    )
    equal([message["index_in_session"] for message in many["messages"]], [3, 4, 5, 6])
    late = client.refused(
        "message.append_many",
        {
            "session_id": session_id,
            "expected_index": 0,
            "messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
        },
        1412,
        "precondition_failed",
    )
    equal((late["expected"], late["actual"]), (0, 7))
    equal(client.call("session.get", {"id": session_id})["message_count"], 7, "all or none")

    for at, content in enumerate(TEXTS):
        message = client.call("message.get", {"id": f"{key}-text-{at}"})
        equal(message["content"], content, "the content as it was sent")
        equal(message["metadata"], {"text": content}, "the metadata as it was sent")

    client.call(
        "message.update",
        {
            "id": f"{key}-1",
            "metadata": {
                "tool_calls": [{"id": "t1", "status": "pending"}],
                "usage": {"in": 10, "out": 1},
                "thoughts": "hm",
            },
        },
    )
    patched = client.call(
        "message.update",
        {
            "id": f"{key}-1",
            "metadata": {
                "tool_calls": [{"id": "t1", "status": "success"}],
                "usage": {"out": 20},
                "thoughts": None,
            },
        },
    )
    merged = {"tool_calls": [{"id": "t1", "status": "success"}], "usage": {"in": 10, "out": 20}}
    equal(patched["metadata"], merged, "a merge patch")
    equal(patched["content"], "message 1", "what a patch does not name stays")


def tell_history(client, project_id, session_id):
    recent = client.call("history.recent", {"session_id": session_id, "limit": 2})
    equal([message["index_in_session"] for message in recent["messages"]], [5, 6], "the newest, oldest first")
    equal(recent["has_more"], True)

    for order, expected in (("oldest", [0, 1, 2, 3, 4, 5, 6]), ("newest", [6, 5, 4, 3, 2, 1, 0])):
        indices, params = [], {"session_id": session_id, "order": order, "limit": 3}
        while True:
            page = client.call("history.page", params)
            indices += [message["index_in_session"] for message in page["messages"]]
            if page["next_cursor"] is None:
                break
            params = params | {"cursor": page["next_cursor"]}
        equal(indices, expected, order)

    listed = client.call("session.list", {"project_id": project_id})
    equal([session["id"] for session in listed["sessions"]], [session_id])
    equal(listed["sessions"][0]["message_count"], 7)
    equal(listed["next_cursor"], None)


def tell_settings(client, key, project_id):
    theme = f"{key}.theme"
    client.call("settings.set", {"key": theme, "value": {"name": "light", "colors": ["#fff", None, 1.5]}})
    client.call("settings.set", {"key": theme, "value": "dark", "project_id": project_id})
    setting = client.call("settings.get", {"key": theme, "project_id": project_id})
    equal((setting["value"], setting["resolved"]), ("dark", "project"))
    setting = client.call("settings.get", {"key": theme})
    equal((setting["value"], setting["resolved"]), ({"name": "light", "colors": ["#fff", None, 1.5]}, "user"))
    setting = client.call("settings.get", {"key": f"{key}.nobody"})
    equal((setting["value"], setting["resolved"]), (None, None))

    # Values are kept to the letter: numbers keep their digits, objects their order.
    for value in ("12345678901234567890123", "1.10", "-0.0", "1E400", '{"z":1,"a":{"b":[]}}', '"\\u00e9"'):
        client.exchange(f'{{"jsonrpc":"2.0","id":"set","method":"settings.set","params":{{"key":"{key}.exact","value":{value}}}}}')
        client.send_bytes(f'{{"jsonrpc":"2.0","id":"get","method":"settings.get","params":{{"key":"{key}.exact"}}}}\n'.encode())
        line = client.receive_line().decode()
        if f'"value":{value}' not in line:
            raise AssertionError(f"expected the value {value} to the letter, got {line}")


def tell_errors(client, session_id):
    client.refused("no.such_method", {}, -32601, "method_not_found")
    message = {"session_id": session_id, "role": "user", "content": "x"}
    typo = client.refused("message.append", message | {"metadat": {}}, -32602, "invalid_params")
    equal(typo["field"], "metadat", "the error names the unknown field")
    wrong = client.refused("message.append", message | {"role": "robot"}, -32602, "invalid_params")
    equal(wrong["field"], "role")
    missing = client.refused("message.append", {"session_id": session_id, "role": "user"}, -32602, "invalid_params")
    equal(missing["field"], "content", "the error names the missing field")
    client.refused("system.ping", [1], -32602, "invalid_params")
    absent = client.refused("session.get", {"id": "nobody"}, 1404, "not_found")
    equal(absent["retryable"], False)
    large = client.refused("message.append", message | {"content": "x" * (8 * MEBIBYTE + 1)}, 1413, "too_large")
    equal(large["limit"], 8 * MEBIBYTE)
    # Half a character is not a text: refused, not replaced.
    try:
        client.call("message.append", message | {"content": "half \ud83d"})
        raise AssertionError("a lone surrogate was taken")
    except RpcError as error:
        if error.code not in (-32602, -32700):
            raise
    equal(client.call("session.get", {"id": session_id})["message_count"], 7, "what was refused is not stored")


def tell_notifications(client, key):
    client.notify("no.such_method", {})
    client.notify("settings.set", {"key": f"{key}.notified", "value": True})
    # Writes are applied in the order sent: once this one is answered, the notification is carried out.
    client.call("settings.set", {"key": f"{key}.after", "value": True})
    equal(client.call("settings.get", {"key": f"{key}.notified"})["value"], True, "a notification is carried out")


def tell_large(client, session_id):
    large = "Zeile 🧱\n" * (MEBIBYTE // 11) + "\x01" * 100
    stored = client.call("message.append", {"session_id": session_id, "role": "user", "content": large})
    equal(stored["content"] == large, True, "the answer has the large content")
    read = client.call("message.get", {"id": stored["id"]})
    equal(read["content"] == large, True, "a later read has the large content")


def tell_attachments(client, key, session_id):
    data = bytes(range(256)) * 300 + key.encode()
    digest = hashlib.sha256(data).hexdigest()
    image = {"mime": "image/png", "data": base64.b64encode(data).decode(), "name": "shot.png"}
    stored = client.call("attachment.put", image)
    equal((stored["hash"], stored["size"], stored["created"]), (digest, len(data), True))
    again = client.call("attachment.put", image | {"name": "again.png"})
    equal((again["name"], again["created"]), ("shot.png", False), "stored once, as it was first put")
    message = client.call(
        "message.append",
        {"session_id": session_id, "role": "user", "content": "look", "attachments": [{"hash": digest, "name": "Größe.png"}]},
    )
    listed = [{"hash": digest, "mime": "image/png", "name": "Größe.png", "size": len(data)}]
    equal(message["attachments"], listed, "listed without the bytes")
    recent = client.call("history.recent", {"session_id": session_id, "limit": 1})
    equal(recent["messages"][0]["attachments"], listed)
    read = client.call("attachment.get", {"hash": digest})
    equal(base64.b64decode(read["data"], validate=True) == data, True, "the bytes that were put")
    absent = client.refused(
        "message.append",
        {"session_id": session_id, "role": "user", "content": "x", "attachments": [digest, "0" * 64]},
        -32602,
        "invalid_params",
    )
    equal(absent["field"], "attachments[1]")
    broken = client.refused("attachment.put", image | {"data": "Zm9v*A=="}, -32602, "invalid_params")
    equal(broken["field"], "data")


def tell_raw(client, key, session_id):
    def ping(id):
        return {"jsonrpc": "2.0", "id": id, "method": "system.ping"}

    for broken in ('{"jsonrpc": "2.0", "id": 1, "method": ', "[1, 2", '{"jsonrpc": "2.0"} trailing', "{'id': 1}"):
        answer = client.exchange(broken)
        equal((answer["id"], answer["error"]["code"]), (None, -32700), broken)
        equal(answer["error"]["data"]["kind"], "parse_error", broken)
    client.send_bytes(b'{"jsonrpc":"2.0","id":1,"method":"\xff\xfe"}\n')
    equal(client.receive()["error"]["code"], -32700, "bytes that are not UTF-8")

    for wrong in ("{}", '{"jsonrpc": "1.0", "id": 1, "method": "system.ping"}', "[]"):
        equal(client.exchange(wrong)["error"]["code"], -32600, wrong)

    for id in ("a string", "", 7, -1, 9007199254740991, None):
        answer = client.exchange(json.dumps(ping(id)))
        equal((answer["id"], answer["result"]["protocol"]), (id, 1), "an id of any kind")

    answers = client.exchange(
        json.dumps(
            [
                ping("first"),
                {"jsonrpc": "2.0", "method": "settings.set", "params": {"key": f"{key}.batch", "value": "set by a batch"}},
                17,
                {"jsonrpc": "2.0", "id": "typo", "method": "session.get", "params": {"idd": session_id}},
                {"jsonrpc": "2.0", "id": "write", "method": "settings.set", "params": {"key": f"{key}.batch.2", "value": 2}},
                {"jsonrpc": "2.0", "id": "unknown", "method": "no.such_method"},
            ]
        )
    )
    equal(len(answers), 5, "all of a batch but its notification are answered")
    by = {answer["id"]: answer for answer in answers}
    equal(by["first"]["result"]["protocol"], 1)
    equal(by[None]["error"]["code"], -32600)
    equal(by["typo"]["error"]["code"], -32602)
    equal(by["write"]["result"]["value"], 2)
    equal(by["unknown"]["error"]["code"], -32601)
    equal(client.call("settings.get", {"key": f"{key}.batch"})["value"], "set by a batch")

    # A batch of notifications alone is not answered: the next answer is the next call's.
    client.send_bytes(json.dumps([{"jsonrpc": "2.0", "method": "system.ping"}] * 2).encode() + b"\n")
    equal(client.exchange(json.dumps(ping("next")))["id"], "next")

    too_long = client.exchange(json.dumps([ping(id) for id in range(101)]))
    equal((too_long["id"], too_long["error"]["code"]), (None, 1413), "a batch past the limit")
    equal(too_long["error"]["data"]["limit"], 100)
    equal(len(client.exchange(json.dumps([ping(id) for id in range(100)]))), 100, "a batch at the limit")

    # Line ends of Windows, several lines in one write, one line in many writes.
    client.send_bytes(json.dumps(ping("crlf")).encode() + b"\r\n")
    equal(client.receive()["id"], "crlf")
    client.send_bytes(b"".join(json.dumps(ping(id)).encode() + b"\n" for id in (1, 2, 3)))
    equal(sorted(client.receive()["id"] for _ in range(3)), [1, 2, 3])
    for byte in json.dumps(ping("é"), ensure_ascii=False).encode() + b"\n":
        client.send_bytes(bytes([byte]))
    equal(client.receive()["id"], "é", "a line a byte at a time")


def tell_changes(path, session_id):
    """A reader that comes back where it left, by subscription and page by page."""
    writer, reader = Client(path), Client(path)
    subscribed = reader.call("events.subscribe", {"session_id": session_id})
    cursor = subscribed["cursor"]
    seen = []
    for number in range(10):
        sent = writer.call("message.append", {"session_id": session_id, "role": "tool", "content": f"heard {number}"})
        if number % 3 == 2:
            # Gone, while changes go on; the cursor of the last event it saw is where it left.
            reader.socket.close()
            reader = Client(path)
            reader.call("events.subscribe", {"session_id": session_id, "since": cursor})
            continue
        event = reader.event()["event"]
        while event["entity_id"] != sent["id"]:
            seen.append(event)
            event = reader.event()["event"]
        seen.append(event)
        equal(event["data"], sent)
        cursor = event["cursor"]
    page = writer.call("events.since", {"cursor": subscribed["cursor"], "session_id": session_id, "limit": 100})
    equal([event["entity_id"] for event in page["events"]], [event["entity_id"] for event in seen])
    equal([event["data"]["content"] for event in seen], [f"heard {number}" for number in range(10)])
    late = writer.refused("events.since", {"cursor": "0" * 32 + ".1.1"}, 1410, "expired")
    equal(writer.call("events.since", {"cursor": late["cursor"]})["events"], [])


def tell_half_closed(path):
    """`printf … | nc`: whoever has sent all and closed their half still gets their answers."""
    client = Client(path)
    client.send_bytes(b'{"jsonrpc":"2.0","id":1,"method":"system.ping"}\n{"jsonrpc":"2.0","id":2,"method":"system.status"}')
    client.socket.shutdown(socket.SHUT_WR)
    equal(sorted(client.receive()["id"] for _ in range(2)), [1, 2], "answers after the client closed its half")
    equal(client.lines.readline(), b"", "then the end")


def tell(path):
    client = Client(path)
    key = f"python-{os.getpid()}"
    hello = client.call(
        "system.hello",
        {"client": {"name": "python", "version": "1.0.0", "later": True}, "protocol": 1, "a_later_field": [1]},
    )
    equal((hello["name"], hello["protocol"], hello["paths"]["socket"]), ("aetherd", 1, path))
    equal(hello["limits"]["content_bytes"], 8 * MEBIBYTE)
    equal(client.call("system.ping")["instance_id"], hello["instance_id"])

    project_id, session_id = tell_projects_and_sessions(client, key)
    tell_messages(client, key, session_id)
    tell_history(client, project_id, session_id)
    tell_settings(client, key, project_id)
    tell_errors(client, session_id)
    tell_notifications(client, key)
    tell_large(client, session_id)
    tell_attachments(client, key, session_id)
    tell_raw(client, key, session_id)
    tell_changes(path, session_id)
    tell_half_closed(path)
    equal(client.call("system.ping")["instance_id"], hello["instance_id"], "one daemon served it all")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: client.py SOCKET")
    tell(sys.argv[1])
    print("python: all as expected")


if __name__ == "__main__":
    main()
