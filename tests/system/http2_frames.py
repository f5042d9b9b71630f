"""HTTP/2 by hand: frames and HPACK (RFC 9113, RFC 7541), to say what no client says.

    with Connection(r.address()) as c:      # sends preface and SETTINGS, answers those of the server
        stream = c.request("GET", "/healthz")
        answer = c.answer(stream)           # .status .headers .body .reset
"""

import socket
import struct
import time

from ringside import PATIENCE

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, HAS_PRIORITY = 1, 1, 4, 8, 32
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME, MAX_HEADER_LIST, _, CONNECT_PROTOCOL = range(1, 9)
NO_PRIORITIES = 9
(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR,
 REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM) = range(12)


# ---- HPACK ----

STATIC = [(name, value.replace("~", " ")) for name, _, value in (row.partition("=") for row in (
    ":authority :method=GET :method=POST :path=/ :path=/index.html :scheme=http :scheme=https :status=200 :status=204 "
    ":status=206 :status=304 :status=400 :status=404 :status=500 accept-charset accept-encoding=gzip,~deflate "
    "accept-language accept-ranges accept access-control-allow-origin age allow authorization cache-control "
    "content-disposition content-encoding content-language content-length content-location content-range content-type "
    "cookie date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since "
    "last-modified link location max-forwards proxy-authenticate proxy-authorization range referer refresh retry-after "
    "server set-cookie strict-transport-security transfer-encoding user-agent vary via www-authenticate").split())]

# RFC 7541 appendix B: the code is canonical, so lengths say it all.
LENGTHS = [13, 23] + [28] * 7 + [24, 30, 28, 28, 30] + [28] * 8 + [30] + [28] * 9 + [
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6] + [7] * 22 + [8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30]


def _codes():
    code, last, codes = 0, 0, {}
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(LENGTHS)):
        code <<= length - last
        codes[(length, code)] = symbol
        code, last = code + 1, length
    return codes


CODES = _codes()
BITS = {symbol: (length, code) for (length, code), symbol in CODES.items()}


def huffman(text):
    bits = "".join(format(code, f"0{length}b") for length, code in (BITS[c] for c in text.encode()))
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big") if bits else b""


def unhuffman(data):
    out, length, code = bytearray(), 0, 0
    for byte in data:
        for shift in range(7, -1, -1):
            code, length = code << 1 | byte >> shift & 1, length + 1
            if (length, code) in CODES:
                out.append(CODES[(length, code)])
                length = code = 0
    return bytes(out)


def integer(value, prefix, first=0):
    most = (1 << prefix) - 1
    if value < most:
        return bytes([first | value])
    out, value = [first | most], value - most
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + [value])


def literal(text):
    data = text if isinstance(text, bytes) else text.encode()
    return integer(len(data), 7) + data


def encode(fields):
    """Each as a literal that nobody remembers."""
    return b"".join(b"\0" + literal(name) + literal(value) for name, value in fields)


class Decoder:
    def __init__(self):
        self.table = []

    def _integer(self, data, at, prefix):
        most = (1 << prefix) - 1
        value, at, shift = data[at] & most, at + 1, 0
        if value < most:
            return value, at
        while True:
            value, shift, more, at = value + ((data[at] & 127) << shift), shift + 7, data[at] & 128, at + 1
            if not more:
                return value, at

    def _text(self, data, at):
        coded = data[at] & 128
        length, at = self._integer(data, at, 7)
        text = data[at:at + length]
        return (unhuffman(text) if coded else text).decode(), at + length

    def _row(self, index):
        return STATIC[index - 1] if index <= len(STATIC) else self.table[index - len(STATIC) - 1]

    def decode(self, data):
        at, fields = 0, []
        while at < len(data):
            first = data[at]
            if first & 128:
                index, at = self._integer(data, at, 7)
                fields.append(self._row(index))
                continue
            if first & 224 == 32:
                _, at = self._integer(data, at, 5)
                continue
            remember = first & 64
            index, at = self._integer(data, at, 6 if remember else 4)
            name, at = (self._row(index)[0], at) if index else self._text(data, at)
            value, at = self._text(data, at)
            fields.append((name, value))
            if remember:
                self.table.insert(0, (name, value))
        return fields


# ---- frames ----

def frame(kind, flags=0, stream=0, payload=b"", length=None):
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def settings(*pairs):
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", name, value) for name, value in pairs))


def window_update(stream, by):
    return frame(WINDOW_UPDATE, stream=stream, payload=struct.pack(">I", by))


def rst(stream, error=CANCEL):
    return frame(RST_STREAM, stream=stream, payload=struct.pack(">I", error))


class Frame:
    def __init__(self, kind, flags, stream, payload):
        self.kind, self.flags, self.stream, self.payload = kind, flags, stream, payload

    def error(self):
        return struct.unpack(">I", self.payload[4:8] if self.kind == GOAWAY else self.payload[:4])[0]

    def __repr__(self):
        return f"<{self.kind} flags={self.flags} stream={self.stream} {self.payload[:40]}>"


class Answer:
    def __init__(self):
        self.status, self.headers, self.body, self.reset, self.whole = None, {}, b"", None, False
        self.heads = []


class Connection:
    def __init__(self, address, *pairs, context=None, begin=True, auto=True, timeout=PATIENCE):
        self.socket = socket.create_connection(address, timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            context.set_alpn_protocols(["h2"])
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.scheme = "https" if context is not None else "http"
        self.authority = f"127.0.0.1:{address[1]}"
        self.decoder, self.buffer, self.next, self.timeout = Decoder(), b"", 1, timeout
        self.answers, self.goaways, self.frames, self.auto, self.closed = {}, [], [], auto, False
        self.settings = {}
        if begin:
            self.send(PREFACE + settings(*pairs))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def fields(self, method, path, *more):
        return [(":method", method), (":scheme", self.scheme), (":authority", self.authority), (":path", path), *more]

    def begin(self, fields, end=True, stream=None):
        """HEADERS of a new stream: its number."""
        stream = stream or self.next
        self.next = max(self.next, stream + 2)
        self.send(frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, encode(fields)))
        return stream

    def request(self, method, path, *more, body=None):
        stream = self.begin(self.fields(method, path, *more), end=body is None)
        if body is not None:
            for at in range(0, max(len(body), 1), 16384):
                last = at + 16384 >= len(body)
                self.send(frame(DATA, END_STREAM if last else 0, stream, body[at:at + 16384]))
        return stream

    def receive(self, seconds=None):
        """The next frame; None: the server has closed. Answers SETTINGS, and opens windows (auto)."""
        end = time.monotonic() + (seconds or self.timeout)
        while True:
            if len(self.buffer) >= 9:
                length = int.from_bytes(self.buffer[:3], "big")
                if len(self.buffer) >= 9 + length:
                    kind, flags, stream = self.buffer[3], self.buffer[4], int.from_bytes(self.buffer[5:9], "big")
                    got = Frame(kind, flags, stream, self.buffer[9:9 + length])
                    self.buffer = self.buffer[9 + length:]
                    self._note(got)
                    return got
            self.socket.settimeout(max(end - time.monotonic(), 0.001))
            try:
                piece = self.socket.recv(65536)
            except ConnectionError:
                piece = b""
            if not piece:
                self.closed = True
                return None
            self.buffer += piece

    def _note(self, got):
        self.frames.append(got)
        answer = self.answers.setdefault(got.stream, Answer())
        if got.kind == SETTINGS and not got.flags & ACK:
            self.settings.update(struct.iter_unpack(">HI", got.payload))
            if self.auto:
                self._try(frame(SETTINGS, ACK))
        elif got.kind == HEADERS:
            assert got.flags & END_HEADERS
            fields = self.decoder.decode(got.payload)
            answer.heads.append(fields)
            answer.headers = dict(fields)
            answer.status = int(answer.headers[":status"])
        elif got.kind == DATA:
            answer.body += got.payload
            if self.auto and got.payload:
                self._try(window_update(0, len(got.payload)) + window_update(got.stream, len(got.payload)))
        elif got.kind == RST_STREAM:
            answer.reset = got.error()
        elif got.kind == PING and not got.flags & ACK and self.auto:
            self._try(frame(PING, ACK, payload=got.payload))
        elif got.kind == GOAWAY:
            self.goaways.append(got)
        if got.kind in (HEADERS, DATA) and got.flags & END_STREAM:
            answer.whole = True

    def _try(self, data):
        try:
            self.send(data)
        except OSError:
            pass  # it is closed, which reading tells

    def until(self, condition, what):
        end = time.monotonic() + self.timeout
        while not condition():
            assert time.monotonic() < end, f"waited in vain for {what}"
            if self.receive() is None:
                assert condition(), f"closed instead of {what}: {self.frames[-4:]}"

    def answer(self, stream):
        """Its whole answer, or its reset."""
        def over():
            answer = self.answers.get(stream)
            return answer and (answer.whole or answer.reset is not None)
        self.until(over, f"an answer on {stream}")
        return self.answers[stream]

    def ask(self, *arguments, **named):
        return self.answer(self.request(*arguments, **named))

    def wait_body(self, stream, part):
        self.until(lambda: part in self.answers.get(stream, Answer()).body, f"{part} on {stream}")

    def end(self):
        """Reads until the server closes: the error of its last GOAWAY, or None."""
        while self.receive() is not None:
            pass
        return self.goaways[-1].error() if self.goaways else None
