"""A WebSocket's client and server, frame by frame, so that they can be split, slow and wrong; and an agent of the hub."""

import base64
import hashlib
import json
import os
import socket
import struct
import threading

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
PATIENCE = float(os.environ.get("PATIENCE", "20"))


def proof(key):
    return base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()


class Frames:
    """What both sides have: self.socket, self.buffer, self.masks."""

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the other side is gone")
        self.buffer += data

    def take(self, count):
        while len(self.buffer) < count:
            self.more()
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return bytes(taken)

    def frame(self):
        """(first byte, payload)"""
        first, second = self.take(2)
        length = second & 127
        if length == 126:
            length, = struct.unpack(">H", self.take(2))
        elif length == 127:
            length, = struct.unpack(">Q", self.take(8))
        assert bool(second & 128) != self.masks
        mask = self.take(4) if second & 128 else None
        payload = self.take(length)
        return first, unmask(payload, mask) if mask else payload

    def pack(self, opcode, payload=b"", fin=True):
        payload = payload.encode() if isinstance(payload, str) else payload
        flag = 128 if self.masks else 0
        length = len(payload)
        head = bytes([opcode | (128 if fin else 0)])
        if length < 126:
            head += bytes([flag | length])
        elif length < 65536:
            head += struct.pack(">BH", flag | 126, length)
        else:
            head += struct.pack(">BQ", flag | 127, length)
        mask = os.urandom(4) if self.masks else b""
        return head + mask + (unmask(payload, mask) if mask else payload)

    def send(self, opcode, payload=b"", fin=True):
        self.socket.sendall(self.pack(opcode, payload, fin))

    def data(self):
        """The next frame that is no ping, which is answered."""
        while True:
            first, payload = self.frame()
            if first & 15 == PING:
                self.send(PONG, payload)
            elif first & 15 != PONG:
                return first, payload

    def closed(self):
        """(code, reason) of the close that comes next; (None, "") without a code."""
        first, payload = self.data()
        while first & 15 != CLOSE:
            first, payload = self.data()
        return (struct.unpack(">H", payload[:2])[0] if payload else None), payload[2:].decode()

    def close(self):
        self.socket.close()


def unmask(payload, mask):
    count = len(payload)
    key = int.from_bytes((mask * (count // 4 + 1))[:count], "big")
    return (int.from_bytes(payload, "big") ^ key).to_bytes(count, "big")


class Refused(Exception):
    def __init__(self, status, body):
        super().__init__(status, body)
        self.status, self.body = status, body


class Client(Frames):
    masks = True

    def __init__(self, r, path, headers=None, address=None, receive=None):
        self.socket = socket.socket()
        if receive is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(address or r.address())
        self.buffer = bytearray()
        key = base64.b64encode(os.urandom(16))
        lines = {"host": "localhost", "upgrade": "websocket", "connection": "Upgrade",
                 "sec-websocket-key": key.decode(), "sec-websocket-version": "13", **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
        self.socket.sendall(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
        while b"\r\n\r\n" not in self.buffer:
            self.more()
        head, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        self.buffer = bytearray(rest)
        status = int(head.split()[1])
        if status != 101:
            length = int(head.lower().split(b"content-length:")[1].split()[0])
            body = self.take(length).decode()
            self.socket.close()
            raise Refused(status, body)
        assert proof(key) in head.decode()


class Hub(Client):
    """A socket at /ws."""

    def __init__(self, r, query="", **more):
        super().__init__(r, "/ws" + query, **more)
        self.r, self.events, self.number = r, [], 0

    def message(self):
        first, payload = self.data()
        if first & 15 == CLOSE:
            raise ConnectionError(payload)
        assert first == 128 | TEXT
        return json.loads(payload)

    def event(self):
        return self.events.pop(0) if self.events else self.message()

    def nodes(self):
        init = self.event()
        assert init["event"] == "init" and init["protocol_version"] == "1"
        return init["nodes"]

    def until(self, name, node=None):
        """The next event of this name (of this node), and what came before it is dropped."""
        while True:
            event = self.event()
            if event.get("event") == name and node in (None, event.get("id"), event.get("node", {}).get("id")):
                return event

    def ask(self, method, params=None, id=None):
        self.number += 1
        number = f"r{self.number}" if id is None else id
        self.send(TEXT, json.dumps({"id": number, "method": method, **({} if params is None else {"params": params})}))
        while True:
            message = self.message()
            if "event" in message:
                self.events.append(message)
            elif message["id"] == number:
                return message

    def register(self, id, port=8080, machine="localhost", cwd="/work", **more):
        answer = self.ask("register", {"id": id, "machine": machine, "cwd": cwd, "port": port, "status": "active", **more})
        assert answer.get("result") == {"status": "registered"}, answer
        return self


class Side(Frames):
    """An agent's side of one dashboard."""
    masks = False

    def __init__(self, agent, connection):
        self.socket, self.buffer, self.agent = connection, bytearray(), agent
        self.socket.settimeout(PATIENCE)
        while b"\r\n\r\n" not in self.buffer:
            self.more()
        head, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        self.buffer, self.head = bytearray(rest), head.decode()
        self.key = head.lower().split(b"sec-websocket-key:")[1].split()[0]
        self.key = bytes(head[head.lower().index(self.key):][:24])


class Agent:
    """A WebSocket server on a port of its own; `serve(side)` speaks for it in a thread of its own."""

    def __init__(self, serve, accept=None, first=b"", dribble=False):
        self.serve, self.accept, self.first, self.dribble = serve, accept, first, dribble
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.keys, self.failures = [], []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(connection,), daemon=True).start()

    def one(self, connection):
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            side = Side(self, connection)
            self.keys.append(side.key)
            answer = self.accept or ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                     f"Sec-WebSocket-Accept: {proof(side.key)}\r\n\r\n")
            answer = answer.encode() + self.first
            for piece in ([answer[i:i + 1] for i in range(len(answer))] if self.dribble else [answer]):
                connection.sendall(piece)
            self.serve(side)
        except OSError as error:
            self.failures.append(error)
        finally:
            connection.close()

    def close(self):
        self.listener.close()


def echo(side):
    """As it comes: first byte and payload; a close with its code."""
    while True:
        first, payload = side.frame()
        if first & 15 == PING:
            side.send(PONG, payload)
        elif first & 15 != PONG:
            side.send(first & 15, payload, bool(first & 128))
        if first & 15 == CLOSE:
            return
