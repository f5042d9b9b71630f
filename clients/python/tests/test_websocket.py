"""Frames as their standard has them, against a server of a few lines."""

import base64
import hashlib
import socket
import struct
import threading

import pytest

from ringside_client import Refused, RingsideError, Server, WebSocket, WebSocketClosed
from ringside_client.websocket import frame, mask


def unmasked(opcode, payload, fin=True):
    head = struct.pack(">B", opcode | (0x80 if fin else 0))
    count = len(payload)
    if count < 126:
        return head + struct.pack(">B", count) + payload
    return head + struct.pack(">BH", 126, count) + payload


def serve(answer, status="101 Switching Protocols", accept=None):
    """The URL of a server that takes one connection; what it was sent behind the head is in the list."""
    listener, got = socket.create_server(("127.0.0.1", 0)), []

    def run():
        connection, _ = listener.accept()
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(4096)
        key = head.lower().split(b"sec-websocket-key: ")[1]
        key = head[len(head) - len(key):].split(b"\r\n")[0]
        proof = accept or base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
        connection.sendall(f"HTTP/1.1 {status}\r\nSec-WebSocket-Accept: {proof}\r\nContent-Length: 3\r\n\r\n".encode() + answer)
        while data := connection.recv(4096):
            got.append(data)
        connection.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return Server(f"http://127.0.0.1:{listener.getsockname()[1]}"), got, thread


def test_masks_and_lengths():
    assert mask(mask(b"abcdefg", b"1234"), b"1234") == b"abcdefg" and mask(b"", b"1234") == b""
    for count, head in ((0, 6), (125, 6), (126, 8), (65535, 8), (65536, 14)):
        assert len(frame(1, b"x" * count)) == head + count


def test_messages_are_put_together_and_pings_answered():
    server, got, thread = serve(unmasked(1, "é".encode()[:1], False) + unmasked(9, b"?") + unmasked(0, "é".encode()[1:])
                        + unmasked(2, b"y" * 300) + unmasked(8, struct.pack(">H", 1001) + b"bye"))
    ws = WebSocket(server, "/ws")
    assert ws.receive() == "é" and ws.receive() == b"y" * 300
    with pytest.raises(WebSocketClosed) as closed:
        ws.receive()
    assert (closed.value.code, closed.value.reason) == (1001, "bye")
    thread.join(10)
    assert b"".join(got)[:1] == bytes([0x80 | 10])


@pytest.mark.parametrize("answer", [unmasked(0, b"x"), unmasked(1, b"x", False) + unmasked(1, b"x"), b"\xc1\x00", b"\x81\x80",
                                    unmasked(1, b"x" * 200)])
def test_what_may_not_be(answer):
    server, *_ = serve(answer)
    with pytest.raises(RingsideError):
        WebSocket(server, "/", message_bytes=100).receive()


def test_who_is_no_websocket():
    server, *_ = serve(b"no\n", "403 Forbidden")
    with pytest.raises(Refused) as refused:
        WebSocket(server, "/ws")
    assert (refused.value.status, refused.value.reason) == (403, "no")
    server, *_ = serve(b"", accept="nonsense")
    with pytest.raises(RingsideError):
        WebSocket(server, "/ws")
