"""TLS as clients meet it: Python's and OpenSSL's own."""

import http.client
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading

import pytest

from ringside import PATIENCE, Ringside, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))


def make(directory, name, hosts, days=30, kind="ec"):
    """A pair NAME.pem, NAME.key in the directory; replaced as tools do it, by a rename."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "ec" else ["-newkey", "rsa:2048"]
    names = ",".join(f"DNS:{host}" if not host[0].isdigit() else f"IP:{host}" for host in hosts)
    pem, secret = os.path.join(directory, f"{name}.pem"), os.path.join(directory, f"{name}.key")
    subprocess.run(["openssl", "req", "-x509", *key, "-nodes", "-keyout", secret + ".new", "-out", pem + ".new",
                    "-days", str(days), "-subj", f"/CN={name}", "-addext", f"subjectAltName={names}"],
                   check=True, capture_output=True)
    os.rename(secret + ".new", secret)
    os.rename(pem + ".new", pem)
    return pem, secret


class Tls(Ringside):
    """Serves https:// and http://, each at a free port."""

    def __init__(self, *flags, pairs=(("first", ("localhost", "127.0.0.1"), "ec"),), **options):
        super().__init__(*flags, "--tls-watch=100ms", listen="https://127.0.0.1:0,http://127.0.0.1:0", start=False,
                         **options)
        self.made = [make(self.dir, name, hosts, kind=kind) for name, hosts, kind in pairs]
        self.flags.append("--tls-certificates=" + ",".join(":".join(pair) for pair in self.made))

    def port(self):
        return int(self.url.rpartition(":")[2])

    def context(self, index=0):
        context = ssl.create_default_context(cafile=self.made[index][0])
        context.check_hostname = False
        return context

    def open(self, context=None, host="localhost", timeout=PATIENCE):
        raw = socket.create_connection(("127.0.0.1", self.port()), timeout)
        return (context or self.context()).wrap_socket(raw, server_hostname=host)

    def ask(self, method, path, body=None, headers=None, context=None):
        connection = http.client.HTTPSConnection("127.0.0.1", self.port(), timeout=PATIENCE,
                                                 context=context or self.context())
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        result = answer.status, dict(answer.getheaders()), answer.read()
        connection.close()
        return result

    def metric(self, name):
        anybody = ssl._create_unverified_context()  # pylint: disable=protected-access
        text = self.ask("GET", "/metrics", context=anybody)[2].decode()
        return sum(float(n) for n in re.findall(rf"^ringside_{name}{{[^}}]*}} (\S+)$", text, re.M))


@pytest.fixture(scope="module")
def r():
    with Tls(pairs=(("first", ("localhost", "127.0.0.1"), "ec"), ("second", ("*.second.example",), "rsa"))) as server:
        server.start()
        yield server


def test_streams_over_tls(r):
    status, headers, _ = r.ask("PUT", "/v1/stream/tls/a", b"one\n", {"content-type": "text/plain"})
    assert status == 201
    assert headers["location"] == f"https://127.0.0.1:{r.port()}/v1/stream/tls/a"
    large = os.urandom(900000)
    assert r.ask("POST", "/v1/stream/tls/a", large, {"content-type": "text/plain"})[0] == 204
    status, _, body = r.ask("GET", "/v1/stream/tls/a?offset=-1")
    assert (status, body) == (200, b"one\n" + large)


def test_readers_hear_at_once_and_are_told_when_it_drains():
    with Tls(workers=1) as r:
        r.start()
        r.ask("PUT", "/v1/stream/live", b"", {"content-type": "text/plain"})
        reader = r.open()
        reader.sendall(b"GET /v1/events?stream=live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        heard = b""
        while b"event: streams" not in heard and b"streams" not in heard:
            heard += reader.recv(65536)
        for i in range(3):
            r.ask("POST", "/v1/stream/live", f"news {i}".encode(), {"content-type": "text/plain"})
            while f"news {i}".encode() not in heard:
                heard += reader.recv(65536)
        r.ctl("restart", "sse-0")
        while piece := reader.recv(65536):  # close_notify, not a cut: recv() would raise
            heard += piece
        assert heard.endswith(b"0\r\n\r\n")


def shown(host, r, *more):
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{r.port()}", "-servername", host, *more],
                          input=b"", capture_output=True, timeout=PATIENCE)
    return done.returncode, done.stdout.decode() + done.stderr.decode()


def test_names_pick_their_certificate(r):
    for host, subject in (("localhost", "first"), ("a.second.example", "second"), ("nobody.example", "first")):
        assert f"subject=CN = {subject}" in shown(host, r)[1]


# What s_client is told, and whether it gets in.
MATRIX = [(["-tls1_3"], True), (["-tls1_2"], True), (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], False),
          (["-tls1", "-cipher", "ALL:@SECLEVEL=0"], False),
          (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], True),
          (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"], True),
          (["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"], True)] + [
    (["-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0"], False) for cipher in
    ("ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "AES128-GCM-SHA256", "AES256-SHA256", "DHE-RSA-AES128-GCM-SHA256",
     "AECDH-AES128-SHA", "ADH-AES128-GCM-SHA256", "eNULL")] + [
    (["-tls1_3", "-ciphersuites", suite], True) for suite in
    ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")]


@pytest.mark.parametrize("options, good", MATRIX, ids=[" ".join(options) for options, _ in MATRIX])
def test_what_is_weak_is_refused(r, options, good):
    status, said = shown("localhost", r, *options)
    assert ("Cipher is (NONE)" not in said and status == 0) == good, said


def test_a_renegotiation_is_refused(r):
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{r.port()}", "-tls1_2", "-legacy_renegotiation"],
                          input=b"R\n", capture_output=True, timeout=PATIENCE)
    assert b"no renegotiation" in done.stderr


def test_protocols_are_agreed_on(r):
    context = r.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with r.open(context) as connection:
        assert connection.selected_alpn_protocol() == "h2"
    context.set_alpn_protocols(["http/1.1"])
    with r.open(context) as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"
    context.set_alpn_protocols(["spdy/3"])
    with pytest.raises(ssl.SSLError):
        r.open(context)


def test_sessions_are_resumed_at_any_worker_and_after_its_restart():
    with Tls(workers=2) as r:
        r.start()
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = r.context()
            context.minimum_version = context.maximum_version = version
            with r.open(context) as first:
                first.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                first.recv(65536)
                session = first.session
            for turn in range(8):
                if turn == 4:
                    r.ctl("restart", "all")
                raw = socket.create_connection(("127.0.0.1", r.port()), PATIENCE)
                with context.wrap_socket(raw, server_hostname="localhost", session=session) as again:
                    assert again.session_reused


def test_a_change_is_taken_without_a_dropped_connection():
    with Tls(workers=1) as r:
        r.start()
        kept = r.open()
        before = r.metric("tls_certificate_expiry_seconds")
        make(r.dir, "first", ("localhost", "127.0.0.1"), days=300)
        wait_for(lambda: r.metric("tls_certificate_expiry_seconds") > before, "the new certificate")
        with r.open() as fresh:
            assert fresh.getpeercert()["notAfter"] != kept.getpeercert()["notAfter"]
        kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")
        # One that does not fit is refused whole, by the watch and by a reload, and the old one goes on.
        good = r.ask("GET", "/healthz")
        shutil.copy(r.made[0][1], r.made[0][1] + ".kept")
        make(r.dir, "other", ("localhost",))
        os.replace(os.path.join(r.dir, "other.key"), r.made[0][1])
        r.wait_log(r"certificates-refused reason=\"\S+first.pem: the key is not that of the certificate")
        assert "the key is not that of the certificate" in r.ctl("reload", code=1)[1]
        assert r.ask("GET", "/healthz")[0] == good[0] == 200
        os.replace(r.made[0][1] + ".kept", r.made[0][1])
        r.ctl("reload")
        kept.close()


def test_a_reload_says_that_certificates_changed():
    with Tls() as r:
        r.flags[r.flags.index("--tls-watch=100ms")] = "--tls-watch=0"
        r.start()
        r.wait_log(r"certificates pairs=1 expires_at=\S*20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\S*Z")
        assert "nothing changed" in r.ctl("reload")[0]
        make(r.dir, "first", ("localhost", "127.0.0.1"), days=300)
        assert "changed: certificates\n" in r.ctl("reload")[0]
        assert "nothing changed" in r.ctl("reload")[0]


def test_many_changes_under_load():
    with Tls(workers=2) as r:
        r.start()
        pairs = [make(r.dir, f"pair{i}", ("localhost", "127.0.0.1")) for i in range(2)]
        context = ssl.create_default_context()
        for pem, _ in pairs + r.made:
            context.load_verify_locations(pem)
        over, faults, done = threading.Event(), [], [0]

        def load():
            while not over.is_set():
                try:
                    assert r.ask("GET", "/healthz", context=context)[0] == 200
                    done[0] += 1
                except Exception as fault:  # pylint: disable=broad-except
                    faults.append(fault)
        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        for i in range(60):
            for source, target in zip(pairs[i % 2], r.made[0]):
                shutil.copy(source, target + ".new")
                os.replace(target + ".new", target)
            r.ctl("reload")
        over.set()
        for thread in threads:
            thread.join()
        assert faults == [] and done[0] > 0
        assert r.metric("tls_failures_total") == 0


def test_clients_show_who_they_are():
    with Tls(workers=1) as r:
        ca = make(r.dir, "client", ("client.example",))
        r.flags += [f"--tls-client-ca-file={ca[0]}", "--tls-client-certificates=required"]
        r.start()
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
            r.ask("GET", "/healthz")
        context = r.context()
        context.load_cert_chain(*ca)
        assert r.ask("GET", "/healthz", context=context)[0] == 200
        context = r.context()
        context.load_cert_chain(*make(r.dir, "stranger", ("client.example",)))
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
            r.ask("GET", "/healthz", context=context)


def test_handshakes_have_their_time():
    with Tls("--tls-handshake-timeout=500ms", workers=1) as r:
        r.start()
        silent = [socket.create_connection(("127.0.0.1", r.port()), PATIENCE) for _ in range(50)]
        for connection in silent[:25]:
            connection.sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a ClientHello
        for connection in silent:
            assert connection.recv(1) == b""
        assert r.metric("tls_failures_total") == 50


def test_plain_http_at_the_port_of_tls_is_closed(r):
    with socket.create_connection(("127.0.0.1", r.port()), PATIENCE) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            while connection.recv(65536):
                pass
        except ConnectionError:
            pass
    assert r.ask("GET", "/healthz")[0] == 200


@pytest.mark.parametrize("spoil, words", [
    (lambda pem, key: os.remove(pem), "No such file or directory"),
    (lambda pem, key: os.remove(key), "No such file or directory"),
    (lambda pem, key: open(pem, "w", encoding="ascii").close(), "the file has no certificate in PEM"),
    (lambda pem, key: shutil.copy(pem, key), "the key file has no private key in PEM"),
], ids=["no certificate", "no key", "empty", "a certificate for a key"])
def test_what_does_not_fit_prevents_a_start(spoil, words):
    r = Tls()
    spoil(*r.made[0])
    with r:
        r.spawn()
        assert r.process.wait(PATIENCE) == 2
        assert words in r.log() and "first" in r.log()
        checked = subprocess.run([r.program, "check-config", *r.flags], capture_output=True, text=True, check=False,
                                 timeout=PATIENCE, env=r.environment)
        assert checked.returncode == 2 and words in checked.stderr


def test_who_leaves_without_a_word_is_missed():
    with Tls(workers=1) as r:
        r.start()
        r.ask("PUT", "/v1/stream/s", b"", {"content-type": "text/plain"})
        reader = r.open()
        reader.sendall(b"GET /v1/events?stream=s HTTP/1.1\r\nHost: localhost\r\n\r\n")
        reader.recv(65536)
        wait_for(lambda: r.metric("subscribers") == 1, "the reader")
        reader.close()
        wait_for(lambda: r.metric("subscribers") == 0, "nobody")


# ---- what comes in the clear ----

OWN_NETWORK = pytest.mark.skipif(
    os.geteuid() != 0 or subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True).returncode != 0,
    reason="takes a network of our own")


def test_browsers_are_told_to_come_by_tls():
    with Tls("--tls-hsts-max-age=365d", "--tls-hsts-subdomains") as server:
        server.start()
        for path in ("/", "/healthz", "/nothing-here", "/v1/stream/none"):
            assert server.ask("GET", path)[1]["strict-transport-security"] == "max-age=31536000; includeSubDomains", path


@OWN_NETWORK
def test_what_comes_in_the_clear_is_sent_to_tls(tmp_path):
    """From another machine; what this machine asks itself, health and ACME are answered where they come."""
    (tmp_path / "to-ken_1").write_bytes(b"to-ken_1.thumbprint")
    (tmp_path / "large").write_bytes(b"x" * 1025)
    (tmp_path / "link").symlink_to(tmp_path / "to-ken_1")
    (tmp_path / "directory").mkdir()
    own = ("unshare", "-n", "sh", "-c", 'ip link set lo up && ip addr add 198.51.100.7/32 dev lo && exec "$@"', "sh")
    with Tls("--dev=false", "--auth-public=read=**", "--http-redirect-port=8443", f"--http-acme-dir={tmp_path}",
             "--tls-hsts-max-age=1d", "--sessions-base-path=/render", prefix=own) as server:
        listen = next(i for i, flag in enumerate(server.flags) if flag.startswith("--listen"))
        server.flags[listen] = "--listen=https://0.0.0.0:8443,http://0.0.0.0:8080"
        server.start()

        def curl(url, *options):
            got = subprocess.run(["nsenter", f"--net=/proc/{server.process.pid}/ns/net", "curl", "-sk", "-i", "--max-time",
                                  str(PATIENCE), *options, url], capture_output=True, check=True).stdout
            head, _, body = got.partition(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            return int(lines[0].split()[1]), dict(line.lower().split(": ", 1) for line in lines[1:]), body
        there, here = "http://198.51.100.7:8080", "http://127.0.0.1:8080"
        for options in ((), ("-X", "POST", "-d", "x"), ("-X", "OPTIONS")):
            status, headers, _ = curl(f"{there}/v1/stream/a?offset=-1", *options)
            assert status == 308 and headers["location"] == "https://198.51.100.7:8443/v1/stream/a?offset=-1"
            assert "strict-transport-security" not in headers  # RFC 6797 7.2
        assert curl(f"{there}/render/stream/x")[1]["location"] == "https://198.51.100.7:8443/render/stream/x"
        assert curl(f"{there}/", "-H", "Host: Example.org:80")[1]["location"] == "https://example.org:8443/"
        assert curl(f"{there}/", "-H", "Host: ex ample/@")[0] == 400
        assert curl(f"{there}/", "-0", "-H", "Host:")[0] == 400
        # Followed, it arrives.
        assert curl(f"{there}/v1/stream/a", "-L", "--max-redirs", "1")[2].endswith(b"stream not found\n")
        assert curl(f"{there}/healthz")[0] == curl(f"{there}/readyz")[0] == 200
        assert curl(f"{here}/v1/stream/a")[0] == 404
        assert curl("https://198.51.100.7:8443/v1/stream/a")[1]["strict-transport-security"] == "max-age=86400"
        # A proxy is believed if it is to be.
        assert curl(f"{there}/v1/stream/a", "-H", "X-Forwarded-Proto: https")[0] == 308

        status, headers, body = curl(f"{there}{ACME}to-ken_1")
        assert (status, body) == (200, b"to-ken_1.thumbprint")
        for name in ("none", "large", "link", "directory", "", "..", "%2e%2e/to-ken_1", "a/b", "to-ken_1/"):
            assert curl(f"{there}{ACME}{name}", "--path-as-is")[0] == 404, name


ACME = "/.well-known/acme-challenge/"


def test_tls_that_nobody_speaks_is_doubtful():
    with Ringside("--http-redirect-port=443", "--tls-hsts-max-age=1d", start=False) as server:
        def doubts(*flags):
            got = subprocess.run([server.program, "check-config", *server.flags, *flags], capture_output=True, check=False)
            return [line.split()[1].rstrip(":") for line in got.stderr.decode().splitlines() if line.startswith("doubtful")]
        assert doubts() == ["http.redirect_port", "tls.hsts_max_age"]
        assert doubts("--http-public-url=https://arena.example") == []
