"""A client of /v1/ws (docs/websocket.md) by hand: each message of both directions is held against docs/schema, frames can be
split, packed and wrong; over HTTP/1.1, and over HTTP/2 by extended CONNECT.

    with Socket(r) as s:
        s.subscribe("a", ["news"], from_="start")
        s.until(lambda: s.data("a") == [...])
        s.append("news", json={"a": 1})["offset"]
"""

import base64
import json
import os
import socket
import struct
import time
import zlib

import jsonschema
from http2_frames import DATA, Answer, Connection, frame
from hub_client import BINARY, CLOSE, PATIENCE, PING, PONG, TEXT, Frames, Refused, proof

PROTOCOL = "ringside.streams.v1"
PACKED = 0x40


def schema(name):
    with open(os.path.join(os.path.dirname(__file__), f"../../docs/schema/ws-{name}.json"), encoding="utf-8") as file:
        value = json.load(file)
    jsonschema.Draft202012Validator.check_schema(value)
    return jsonschema.Draft202012Validator(value)


CLIENT, SERVER = schema("client"), schema("server")


def split(payload):
    """A binary message: (object, bytes)"""
    length, = struct.unpack(">I", payload[:4])
    return payload[4:4 + length].decode(), payload[4 + length:]


def join(message, data):
    text = message.encode() if isinstance(message, str) else json.dumps(message).encode()
    return struct.pack(">I", len(text)) + text + data


class Closed(Exception):
    """The server said goodbye, or the connection broke (code None)."""
    def __init__(self, code, reason):
        super().__init__(code, reason)
        self.code, self.reason = code, reason


class Tunnel:
    """A stream of HTTP/2, as a socket."""

    def __init__(self, connection, stream):
        self.connection, self.stream = connection, stream

    def recv(self, _):
        answer = self.connection.answers[self.stream]
        self.connection.until(lambda: answer.body or answer.reset is not None or answer.whole, "bytes of the tunnel")
        data, answer.body = answer.body, b""
        return data

    def sendall(self, data):
        for at in range(0, len(data), 16384):
            self.connection.send(frame(DATA, 0, self.stream, data[at:at + 16384]))

    def close(self):
        self.connection.socket.close()


class Socket(Frames):
    masks = True

    def __init__(self, r, query="", *, protocol=PROTOCOL, deflate=None, headers=None, token=None, http2=False, receive=None):
        self.messages, self.ids, self.payloads, self.number, self.pack_all = [], {}, {}, 0, False
        fields = {"sec-websocket-version": "13", **(headers or {})}
        if protocol:
            fields["sec-websocket-protocol"] = protocol
        if deflate:
            fields["sec-websocket-extensions"] = deflate
        if token:
            fields["authorization"] = f"Bearer {token}"
        self.buffer = bytearray()
        if http2:
            self.open_http2(r, query, fields)
        else:
            self.open(r, query, fields, receive)
        assert self.headers.get("sec-websocket-protocol") == (PROTOCOL if protocol else None)
        self.extension = self.headers.get("sec-websocket-extensions")

    def open(self, r, query, fields, receive):
        self.socket = socket.socket()
        if receive is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(r.address())
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16))
        lines = {"host": "localhost", "upgrade": "websocket", "connection": "Upgrade", "sec-websocket-key": key.decode(), **fields}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.socket.sendall(f"GET /v1/ws{query} HTTP/1.1\r\n{head}\r\n".encode())
        while b"\r\n\r\n" not in self.buffer:
            self.more()
        head, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        self.buffer = bytearray(rest)
        first, *lines = head.decode().split("\r\n")
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        if int(first.split()[1]) != 101:
            body = self.take(int(self.headers["content-length"])).decode()
            self.socket.close()
            raise Refused(int(first.split()[1]), body)
        assert self.headers["sec-websocket-accept"] == proof(key)

    def open_http2(self, r, query, fields):
        connection = Connection(r.address())
        head = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", connection.authority),
                (":path", "/v1/ws" + query), *fields.items()]
        stream = connection.begin(head, end=False)
        answer = connection.answers.setdefault(stream, Answer())
        connection.until(lambda: answer.status is not None, "the head")
        self.socket, self.headers = Tunnel(connection, stream), answer.headers
        if answer.status != 200:
            raise Refused(answer.status, answer.body)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- out ----

    def say(self, opcode, payload):
        """A message in one frame, packed if that was agreed to."""
        payload = payload.encode() if isinstance(payload, str) else payload
        if not self.extension or not self.pack_all:
            self.send(opcode, payload)
            return
        z = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = (z.compress(payload) + z.flush(zlib.Z_SYNC_FLUSH))[:-4]
        frame = bytearray(self.pack(opcode, packed))
        frame[0] |= PACKED
        self.socket.sendall(bytes(frame))

    def put(self, message, data=None):
        CLIENT.validate(message)
        self.say(TEXT if data is None else BINARY, json.dumps(message) if data is None else join(message, data))

    def subscribe(self, name, streams, from_=None, id=None):
        self.put({"type": "subscribe", "subscription": name, "streams": streams, **({} if from_ is None else {"from": from_}),
                  **({} if id is None else {"id": id})})
        return self

    def send_append(self, stream, data=None, **more):
        self.number += 1
        request = more.pop("request", str(self.number))
        self.put({"type": "append", "stream": stream, "request": request, **more}, data)
        return request

    def append(self, stream, data=None, **more):
        """The receipt, or the error."""
        return self.answer(self.send_append(stream, data, **more))

    def answer(self, request):
        found = []

        def look():
            found[:] = [m for m in self.messages if m.get("request") == request]
            return found
        self.until(look)
        return found[0]

    # ---- in ----

    def read(self):
        """One message more, which is kept. Of a message: `data` as EventSource gives it, but bytes where it gives base64."""
        first, payload = self.data_frame()
        if first & 15 == CLOSE:
            code = struct.unpack(">H", payload[:2])[0] if payload else None
            try:
                self.send(CLOSE, payload[:2])
            except OSError:
                pass  # the connection is over, too
            raise Closed(code, payload[2:].decode())
        assert first & 0xb0 == 0x80, "the server says whole messages"
        if first & PACKED:
            assert self.extension
            self.packed = getattr(self, "packed", 0) + 1
            z = zlib.decompressobj(-self.window())
            payload = z.decompress(payload + b"\0\0\xff\xff")
        data = None
        if first & 15 == BINARY:
            text, data = split(payload)
        else:
            text = payload.decode()
        message = json.loads(text)
        SERVER.validate(message)
        if message["type"] == "message":
            if data is None and "json" in message:
                data = text[text.index(',"json":') + 8:-1]
            elif data is None:
                data = message["text"]
            else:
                assert "json" not in message and "text" not in message
            message["data"] = data
        else:
            assert first & 15 == TEXT
        if "id" in message:
            self.ids[message["subscription"]] = message["id"]
        self.messages.append(message)
        return message

    def window(self):
        _, _, bits = self.extension.partition("server_max_window_bits=")
        return int(bits or 15)

    def data_frame(self):
        try:
            while True:
                first, payload = self.frame()
                if first & 15 == PING:
                    self.send(PONG, payload)
                elif first & 15 != PONG:
                    return first, payload
        except (ConnectionError, BrokenPipeError) as error:
            raise Closed(None, str(error)) from error

    def until(self, condition):
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, self.messages[-5:]
            self.read()

    def of(self, name, kind="message"):
        return [m for m in self.messages if m["type"] == kind and m.get("subscription") == name]

    def data(self, name="a", stream=None):
        return [m["data"] for m in self.of(name) if stream in (None, m["stream"])]

    def next(self, kind):
        """The next of this type that comes."""
        while True:
            message = self.read()
            if message["type"] == kind:
                return message

    def goodbye(self):
        """(code, reason) of the close that ends it."""
        try:
            while True:
                self.read()
        except Closed as closed:
            return closed.code, closed.reason
