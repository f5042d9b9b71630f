"""A WebSocket's client end (RFC 6455, version 13): whole messages, pings answered, no compression."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import struct
import threading
from typing import Mapping, Optional, Union

from .errors import Refused, RingsideError
from .server import Server

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class WebSocketClosed(RingsideError):
    """The other side has closed: with a code (1005: without one, 1006: without a word) and a reason."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"{code} {reason}".strip())
        self.code = code
        self.reason = reason


def mask(payload: bytes, key: bytes) -> bytes:
    """Masks and unmasks."""
    count = len(payload)
    whole = int.from_bytes((key * (count // 4 + 1))[:count], "big")
    return (int.from_bytes(payload, "big") ^ whole).to_bytes(count, "big")


def frame(opcode: int, payload: bytes) -> bytes:
    """A whole message as one masked frame."""
    count, key = len(payload), os.urandom(4)
    if count < 126:
        head = struct.pack(">BB", 0x80 | opcode, 0x80 | count)
    elif count < 1 << 16:
        head = struct.pack(">BBH", 0x80 | opcode, 0x80 | 126, count)
    else:
        head = struct.pack(">BBQ", 0x80 | opcode, 0x80 | 127, count)
    return head + key + mask(payload, key)


class WebSocket:
    """Opened when it is made: Refused where the server answers anything but 101.

    One thread receives; any thread may send. `silence` is the seconds without a byte after which it counts as broken:
    servers ping. `message_bytes` is the most that a message may have.
    """

    def __init__(self, server: Server, path: str, headers: Optional[Mapping[str, str]] = None, *,
                 silence: float = 45.0, message_bytes: int = 16 << 20) -> None:
        self._lock = threading.Lock()
        self._limit = message_bytes
        self._buffer = bytearray()
        self._connection, root = server.connect(silence)
        key = base64.b64encode(os.urandom(16))
        asked = {"upgrade": "websocket", "connection": "Upgrade", "sec-websocket-version": "13",
                 "sec-websocket-key": key.decode(), **server.headers(), **(headers or {})}
        try:
            self._connection.connect()
            self._socket: socket.socket = self._connection.sock
            host = self._connection.host if ":" not in self._connection.host else f"[{self._connection.host}]"
            head = "".join(f"{name}: {value}\r\n" for name, value in asked.items())
            self._socket.sendall(f"GET {root}{path} HTTP/1.1\r\nhost: {host}:{self._connection.port}\r\n{head}\r\n".encode())
            self._shake(key)
        except BaseException:
            self._connection.close()
            raise

    def _shake(self, key: bytes) -> None:
        while b"\r\n\r\n" not in self._buffer:
            if len(self._buffer) > 1 << 16:
                raise RingsideError("a header without end")
            self._more()
        raw, _, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        self._buffer = bytearray(rest)
        first, *lines = raw.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = int(first.split()[1]) if len(first.split()) > 1 and first.split()[1].isdigit() else 0
        if status != 101:
            length = headers.get("content-length", "0")
            while length.isdigit() and len(self._buffer) < min(int(length), 4096):
                self._more()
            raise Refused(status, self._buffer.decode("utf-8", "replace").strip(), headers)
        if headers.get("sec-websocket-accept") != base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode():
            raise RingsideError("the other side is no WebSocket's")

    def _more(self) -> None:
        data = self._socket.recv(1 << 16)
        if not data:
            raise WebSocketClosed(1006)
        self._buffer += data

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._more()
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _frame(self) -> tuple[int, bytes]:
        first, second = self._take(2)
        length = second & 127
        if length == 126:
            (length,) = struct.unpack(">H", self._take(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self._take(8))
        if second & 0x80 or first & 0x70 or length > self._limit:
            raise RingsideError("a frame that may not be")
        return first, self._take(length)

    def receive(self) -> Union[str, bytes]:
        """The next message: text or bytes. WebSocketClosed when there will be none, OSError when the connection breaks."""
        kind, parts, size = None, [], 0
        while True:
            first, payload = self._frame()
            opcode = first & 15
            if opcode == PING:
                self._send(PONG, payload)
            elif opcode == CLOSE:
                code = struct.unpack(">H", payload[:2])[0] if len(payload) >= 2 else 1005
                self.close()
                raise WebSocketClosed(code, payload[2:].decode("utf-8", "replace"))
            elif opcode in (TEXT, BINARY, CONTINUATION):
                if (kind is None) == (opcode == CONTINUATION):
                    raise RingsideError("a fragment out of turn")
                kind = kind if kind is not None else opcode
                parts.append(payload)
                size += len(payload)
                if size > self._limit:
                    raise RingsideError(f"a message of more than {self._limit} bytes")
                if first & 0x80:
                    whole = b"".join(parts)
                    return whole.decode() if kind == TEXT else whole

    def _send(self, opcode: int, payload: bytes) -> None:
        with self._lock:
            self._socket.sendall(frame(opcode, payload))

    def send(self, message: Union[str, bytes]) -> None:
        """A whole message: text, or bytes."""
        if isinstance(message, str):
            self._send(TEXT, message.encode())
        else:
            self._send(BINARY, message)

    def close(self, code: int = 1000) -> None:
        """Says so, and breaks the connection; whoever receives is told. Any thread may call it, and again."""
        try:
            self._send(CLOSE, struct.pack(">H", code))
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._connection.close()
