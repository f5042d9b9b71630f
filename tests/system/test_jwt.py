"""JSON Web Tokens: what jose signs is judged as it must be, with keys from files and from an issuer's server."""

import base64
import json
import os
import re
import threading
import time

import pytest

from jwt_issuer import Key, Maker, Publisher, Secret, claims, without
from ringside import PATIENCE, Ringside, wait_for
from test_old_data import pages

SECRET = "a secret that is as long as RFC 7518 wants it"
ALL = {"read": ["**"], "create": ["**"], "append": ["**"]}


@pytest.fixture(scope="module")
def maker():
    maker = Maker()
    yield maker
    maker.close()


class Jwts(Ringside):
    """Without --dev; auth.* by a file that can be written anew."""

    def __init__(self, auth, *flags, files=None, **more):
        self.auth = auth
        super().__init__(*flags, config="{}\n", start=False, **more)
        self.flags.remove("--dev")
        for name, text in (files or {}).items():
            self.put_file(name, text)
        self.configure(**auth)
        try:
            self.start()
        except BaseException:
            self.__exit__(AssertionError, None, None)
            raise

    def put_file(self, name, text):
        with open(os.open(os.path.join(self.dir, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)

    def configure(self, **auth):
        self.auth = auth
        lines = [f"  {name}: {json.dumps(value.replace('DIR', self.dir) if isinstance(value, str) else value)}"
                 for name, value in auth.items()]
        self.write_config("auth:\n" + "\n".join(lines) + "\n")

    def reload(self, **auth):
        self.configure(**auth)
        self.ctl("reload")

    def ask(self, method, path, token, body=None):
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        return self.request(method, path, body, headers, timeout=PATIENCE)

    def status_of(self, token, method="PUT", path="/v1/stream/a"):
        """201 or 200: it counts and may; 403: it counts and may not."""
        return self.ask(method, path, token)[0]

    def metric(self, name):
        found = re.findall(rf"^ringside_{name}{{[^}}]*}} (\S+)$", self.metrics(), re.M)
        return sum(float(value) for value in found)

    def metrics(self):
        return self.request("GET", "/metrics", None, {"authorization": "Bearer scraper-of-the-tests"})[2].decode()


USUAL = {"jwt_issuer": "https://id.example", "jwt_audience": "arena", "metrics_token": "scraper-of-the-tests"}


def refused(answer, why):
    status, headers, body = answer
    assert status == 401 and why in body.decode(), (status, body)
    assert headers["www-authenticate"] == 'Bearer realm="ringside", error="invalid_token"'


@pytest.fixture(scope="module")
def keys(maker):
    return {"RS256": Key(maker, "RS256", "rs"), "PS256": Key(maker, "PS256", "ps"), "ES256": Key(maker, "ES256", "es"),
            "EdDSA": Key(maker, "EdDSA", "ed"), "Ed25519": Key(maker, "Ed25519", "ed2"), "HS256": Secret(maker, SECRET)}


@pytest.fixture(scope="module")
def r(maker, keys):
    """One with all of them, by a file and a secret."""
    jwks = {"keys": [key.jwk for name, key in keys.items() if name != "HS256"]}
    with Jwts({**USUAL, "jwt_keys_file": "DIR/keys.json", "jwt_secret_file": "DIR/secret"},
              files={"keys.json": json.dumps(jwks, indent=2), "secret": SECRET + "\n"}) as ringside:
        yield ringside


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA", "Ed25519", "HS256"])
def test_each_algorithm(r, keys, alg):
    token = keys[alg].token(claims(ringside=ALL), {"typ": "at+jwt"})
    assert r.status_of(token) in (200, 201)
    broken = token[:-10] + ("A" if token[-10] != "A" else "B") + token[-9:]
    refused(r.ask("PUT", "/v1/stream/a", broken), "key is not known" if alg == "HS256" else "signature is wrong")


NOW = int(time.time())


@pytest.mark.parametrize("fault, why", [
    (dict(exp=NOW - 600), "has expired"),
    (dict(exp=str(NOW + 600)), "malformed"),
    (dict(exp=(NOW + 600) * 1000), "malformed"),
    (dict(exp=None), "malformed"),
    (dict(exp=...), "never expires"),
    (dict(nbf=NOW + 600), "not valid yet"),
    (dict(nbf="soon"), "malformed"),
    (dict(iat=NOW + 600), "not valid yet"),
    (dict(iss="https://id.example/"), "issuer"),
    (dict(iss=...), "issuer"),
    (dict(iss=["https://id.example"]), "malformed"),
    (dict(aud="other"), "another audience"),
    (dict(aud=...), "another audience"),
    (dict(aud=["other", "others"]), "another audience"),
    (dict(aud={"arena": 1}), "malformed"),
    (dict(sub=7), "malformed"),
    (dict(sub="a\nb"), "malformed"),
    (dict(ringside={"reed": ["**"]}), "rights"),
    (dict(ringside=["**"]), "rights"),
    (dict(mercure={"subscribe": "*"}), "rights"),
])
def test_each_fault_of_a_claim(r, keys, fault, why):
    gone = [name for name, value in fault.items() if value is ...]
    there = {name: value for name, value in fault.items() if value is not ...}
    bad = without({**claims(ringside=ALL), **there}, *gone)
    refused(r.ask("PUT", "/v1/stream/a", keys["ES256"].token(bad)), why)


def test_claims_that_are_as_good(r, keys):
    for good in (dict(aud=["other", "arena"]), dict(exp=time.time() + 60.5), dict(nbf=NOW - 60), dict(sub="auth0|ann b"),
                 dict(exp=NOW - 5), dict(iat=NOW - 10**8)):
        assert r.status_of(keys["ES256"].token(claims(ringside=ALL, **good))) in (200, 201), good
    nobody = without(claims(ringside=ALL), "sub")
    assert r.status_of(keys["ES256"].token(nobody)) in (200, 201)


def spelled(token, change):
    """The same token with one part changed as text."""
    parts = token.split(".")
    return ".".join(change(parts))


def test_each_fault_of_the_header(r, keys, maker):
    es, good = keys["ES256"], claims(ringside=ALL)
    for header, more, why in (
            ({"typ": "dpop+jwt"}, {}, "typ"),
            ({"crit": ["exp"], "exp": 1}, {"crit": {"exp": True}}, "critical"),
            ({"kid": "nobody's"}, {}, "key is not known"),
            ({"kid": "rs"}, {}, "key is not known")):
        refused(r.ask("PUT", "/v1/stream/a", es.token(good, header, **more)), why)
    none = maker.ask(unsecured=good)["token"]
    refused(r.ask("PUT", "/v1/stream/a", none), "algorithm")
    token = es.token(good)

    def encoded(text):
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    for change in (lambda p: [p[0], p[1], ""], lambda p: [p[0] + "=", p[1], p[2]], lambda p: [p[0], p[1], p[2] + "A"],
                   lambda p: [encoded('{"alg":"ES256","kid":"es","alg":"ES256"}'), p[1], p[2]],
                   lambda p: [encoded('{"alg":"none"}'), p[1], ""], lambda p: [encoded('{"alg":"HS256"}'), p[1], p[2]]):
        status = r.status_of(spelled(token, lambda parts: change(parts)))
        assert status in (400, 401), change(token.split("."))
    twice = es.token(payload='{"exp":9,"exp":%d,"iss":"https://id.example","aud":"arena"}' % (NOW + 600))
    refused(r.ask("PUT", "/v1/stream/a", twice), "well-formed")
    long = es.token(claims(ringside=ALL, filler="x" * 8000))
    refused(r.ask("PUT", "/v1/stream/a", long), "too large")


def test_a_public_key_is_no_secret(r, keys, maker):
    """HS256 with the text of a public key, in each spelling somebody may have of it (RFC 8725 2.1)."""
    for key in (keys["RS256"], keys["ES256"], keys["EdDSA"]):
        for text in (key.pem, key.pem.rstrip("\n"), json.dumps(key.jwk), key.jwk.get("n") or key.jwk["x"]):
            forger = Secret(maker, text)
            for header in ({}, {"kid": key.kid}):
                answer = r.ask("PUT", "/v1/stream/a", forger.token(claims(ringside=ALL), header))
                refused(answer, "key is not known")
    # And RSA's two algorithms are two, where the key says which.
    refused(r.ask("PUT", "/v1/stream/a", Key(maker, "PS256", "rs").token(claims())), "")


def test_rights_are_those_of_the_claims(r, keys):
    def may(method, path, **rights):
        return r.status_of(keys["EdDSA"].token(claims(**rights)), method, f"/v1/stream/{path}") not in (401, 403)
    assert may("PUT", "rights/one", ringside={"create": ["rights/*"]})
    assert not may("PUT", "rights/one/two", ringside={"create": ["rights/*"]})
    assert may("GET", "rights/one?offset=-1", ringside={"read": ["rights/**"]})
    assert not may("GET", "rights/one?offset=-1", ringside={"create": ["rights/**"]})
    assert not may("DELETE", "rights/one", ringside=ALL)
    assert may("GET", "rights/one?offset=-1", ringside="read=rights/one")
    assert may("GET", "rights/one?offset=-1", mercure={"subscribe": ["*"]})
    assert not may("PUT", "rights/three", mercure={"subscribe": ["*"]})
    assert may("PUT", "rights/three", mercure={"publish": ["https://any.example/rights/{name}"]})
    assert may("GET", "rights/one?offset=-1", mercure={"publish": ["x"]}, ringside={"read": ["rights/one"]})
    assert not may("GET", "rights/one?offset=-1")
    status, headers, body = r.ask("GET", "/v1/stream/rights/one?offset=-1", keys["EdDSA"].token(claims()))
    assert status == 403 and 'error="insufficient_scope"' in headers["www-authenticate"]


def test_no_token_is_in_the_log(r, keys):
    token = keys["ES256"].token(claims(ringside={"reed": ["**"]}))
    r.ask("PUT", "/v1/stream/a", token)
    log = r.log()
    assert token.split(".")[2] not in log and token.split(".")[1] not in log and SECRET not in log


def test_a_reload_takes_keys_away_and_brings_others(maker):
    one, two = Key(maker, "ES256"), Key(maker, "EdDSA")
    auth = {**USUAL, "jwt_keys_file": "DIR/keys.pem"}
    with Jwts(auth, files={"keys.pem": one.pem}, workers=2) as r:
        first, second = one.token(claims(ringside=ALL)), two.token(claims(ringside=ALL))
        pids = r.worker_pids()
        assert r.status_of(first) == 201
        refused(r.ask("PUT", "/v1/stream/a", second), "key is not known")
        r.put_file("keys.pem", two.pem)
        r.reload(**auth)
        wait_for(lambda: r.status_of(second) == 200 and r.status_of(first) == 401, "the new key")
        r.put_file("keys.pem", "no key")
        r.write_config("auth:\n  jwt_keys_file: " + os.path.join(r.dir, "keys.pem") + "\n")
        assert "neither a JWK Set" in r.ctl("reload", code=1)[1]
        assert r.status_of(second) == 200 and r.worker_pids() == pids


@pytest.mark.parametrize("key, value", [("jwt_secret", "another secret of more than 32 bytes"), ("jwt_issuer", "https://other.example"),
                                        ("jwt_rights_claim", "elsewhere")])
def test_who_is_known_already_is_judged_again_after_a_reload(maker, key, value):
    """His token was found good before, and is at work."""
    with Jwts({**USUAL, "jwt_secret": SECRET}, workers=1) as r:
        token = Secret(maker, SECRET).token(claims(ringside=ALL))
        assert r.status_of(token) == 201
        with r.connect() as reader:
            reader.sendall(f"GET /v1/stream/a?offset=-1&live=sse HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n".encode())
            said = b""
            while b"upToDate" not in said:
                said += reader.recv(4096)
            r.reload(**{**USUAL, "jwt_secret": SECRET, key: value})
            while not said.endswith(b"\r\n0\r\n\r\n"):
                piece = reader.recv(4096)
                assert piece, said
                said += piece
        assert r.ask("GET", "/v1/stream/a?offset=-1", token)[0] == (403 if key == "jwt_rights_claim" else 401)


# ---- an issuer's server ----

@pytest.fixture
def publisher(maker):
    publisher = Publisher(Key(maker, "ES256", "spring"))
    yield publisher
    publisher.close()


def fetching(publisher, **more):
    return {**USUAL, "jwt_jwks_url": publisher.url, **more}


def test_the_first_request_waits_for_the_keys(publisher):
    """Also one with a body, and one whose client is gone before."""
    publisher.delay = 1
    token = publisher.keys[0].token(claims(ringside=ALL))
    with Jwts(fetching(publisher)) as r:
        gone = r.connect()
        gone.sendall(f"GET /v1/stream/a HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n".encode())
        gone.close()
        assert r.ask("PUT", "/v1/stream/a", token, json.dumps([{"n": 1}] * 1000).encode())[0] == 201
        assert len(r.ask("GET", "/v1/stream/a?offset=-1", token)[2]) > 5000
        assert len(publisher.asked) == 1
        assert r.metric("jwks_fetches_total") == 1 and r.metric("jwks_keys") == 1
        assert abs(r.metric("jwks_fetched_timestamp_seconds") - time.time()) < 600
        wait_for(lambda: re.search(r"keys fetched url=http://127.0.0.1:\d+/#\w+ keys=1", r.log()), "the log")


def test_a_new_key_is_fetched_when_a_token_names_it(publisher, maker):
    with Jwts(fetching(publisher, jwt_unknown_key="100ms")) as r:
        spring = publisher.keys[0].token(claims(ringside=ALL))
        assert r.status_of(spring) == 201
        summer = Key(maker, "RS256", "summer")
        publisher.keys.append(summer)
        time.sleep(0.2)
        assert r.status_of(summer.token(claims(ringside=ALL))) == 200
        assert r.status_of(spring) == 200
        # Withdrawn: gone with the next fetch, which anybody's key brings about.
        publisher.keys.pop(0)
        stranger = Key(maker, "ES256", "nobody's").token(claims(ringside=ALL))
        wait_for(lambda: r.status_of(stranger) == 401 and r.status_of(spring) == 401, "the end of spring")
        assert r.status_of(summer.token(claims(ringside=ALL))) == 200


def test_unknown_keys_are_asked_for_at_a_bounded_rate(publisher, maker):
    with Jwts(fetching(publisher)) as r:
        assert r.status_of(publisher.keys[0].token(claims(ringside=ALL))) == 201
        stranger = Key(maker, "ES256", "nobody's")
        for n in range(50):
            assert r.status_of(stranger.token(claims(n=n))) == 401
        assert len(publisher.asked) <= 1 + (time.monotonic() - publisher.asked[0]) / 10


def test_old_keys_stay_while_their_server_fails(publisher):
    auth = fetching(publisher, jwt_refresh_min="100ms", jwt_refresh_max="100ms", jwt_unknown_key="100ms")
    with Jwts(auth) as r:
        token = publisher.keys[0].token(claims(ringside=ALL))
        assert r.status_of(token) == 201
        publisher.status, publisher.body = 500, b"down"
        r.wait_log("no keys fetched url=http://127.0.0.1:.* status=500 .* kept=1")
        publisher.status, publisher.body = 200, b'{"keys":[]}'
        r.wait_log('no keys fetched .* status=200 why="no key is in it" kept=1')
        publisher.close()
        r.wait_log("no keys fetched .* status=0 .* kept=1")
        assert r.status_of(publisher.keys[0].token(claims(ringside=ALL, n=1))) == 200
        assert r.metric("jwks_failures_total") >= 3 and r.metric("jwks_keys") == 1


def test_keys_that_never_came_are_503(maker):
    publisher = Publisher(Key(maker, "ES256", "a"))
    publisher.status = 503
    with Jwts(fetching(publisher, jwt_refresh_min="1s")) as r:
        status, headers, body = r.ask("PUT", "/v1/stream/a", publisher.keys[0].token(claims(ringside=ALL)))
        assert status == 503 and headers["retry-after"] and b"keys of this token's issuer" in body
        assert r.get("/healthz")
        publisher.status = 200
        wait_for(lambda: r.status_of(publisher.keys[0].token(claims(ringside=ALL))) in (200, 201), "the keys")
    publisher.close()


def test_a_server_that_hangs_holds_nobody_for_long(publisher):
    publisher.delay = 600
    token = publisher.keys[0].token(claims(ringside=ALL))
    with Jwts(fetching(publisher, jwt_wait="300ms")) as r:
        assert r.status_of(token) == 503


def test_two_issuers_speak_for_themselves_alone(maker):
    """Their keys have the same name."""
    one, two = Publisher(Key(maker, "ES256", "1")), Publisher(Key(maker, "EdDSA", "1"))
    auth = {"jwt_jwks_url": f"{one.url},{two.url}", "jwt_issuer": "https://one.example,https://two.example",
            "jwt_audience": "arena,https://arena.example"}
    with Jwts(auth) as r:
        for publisher in (one, two):
            for issuer in ("https://one.example", "https://two.example"):
                own = (publisher is one) == (issuer == "https://one.example")
                token = publisher.keys[0].token(claims(iss=issuer, aud="https://arena.example", ringside=ALL))
                assert (r.status_of(token) in (200, 201)) == own
        other = one.keys[0].token(claims(iss="https://three.example", ringside=ALL))
        refused(r.ask("PUT", "/v1/stream/a", other), "issuer")
    one.close()
    two.close()


def test_what_is_published_is_read_carefully(publisher, maker):
    """Secrets and weak keys among the others count for nothing; redirects lead nowhere."""
    strong, weak = publisher.keys[0], Key(maker, "ES256", "private")
    secret = Secret(maker, SECRET)
    octet = {"kty": "oct", "k": base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("="), "kid": "s"}
    publisher.body = json.dumps({"keys": [octet, {**weak.jwk, "d": weak.jwk["x"]}, {**weak.jwk, "use": "enc"},
                                          {"kty": "?"}, strong.jwk]}).encode()
    with Jwts(fetching(publisher)) as r:
        assert r.status_of(strong.token(claims(ringside=ALL))) == 201
        refused(r.ask("PUT", "/v1/stream/a", weak.token(claims(ringside=ALL))), "key is not known")
        refused(r.ask("PUT", "/v1/stream/a", secret.token(claims(ringside=ALL), {"kid": "s"})), "key is not known")
        r.wait_log("keys=1 passed_over=4")
    publisher.status, publisher.headers = 302, {"location": publisher.url}
    with Jwts(fetching(publisher)) as r:
        r.wait_log("no keys fetched .* status=302")


# ---- over time ----

def test_a_reader_is_told_when_his_token_expires(r, keys):
    """The leeway is 30 s: so much longer than `exp` a token counts."""
    writer = keys["EdDSA"].token(claims(ringside=ALL))
    assert r.ask("PUT", "/v1/stream/expiry", writer)[0] == 201
    token = keys["EdDSA"].token(claims(ringside={"read": ["expiry"]}, exp=int(time.time()) - 27))
    ended = []

    def follow():
        ended.append(r.ask("GET", "/v1/events?stream=expiry", token)[2].decode())
    reader = threading.Thread(target=follow, daemon=True)
    reader.start()
    reader.join(PATIENCE)
    assert ended and "event: expired" in ended[0]
    refused(r.ask("GET", "/v1/events?stream=expiry", token), "has expired")


def test_a_cookie_of_a_token_lives_and_goes_with_its_key(publisher, maker):
    """Also over a start: whoever comes back with it waits for the keys as well."""
    with Jwts(fetching(publisher, jwt_unknown_key="100ms")) as r:
        token = publisher.keys[0].token(claims(ringside=ALL))
        assert r.status_of(token) == 201
        status, headers, _ = r.ask("POST", "/v1/login", token)
        assert status == 204
        cookie = {"cookie": headers["set-cookie"].partition(";")[0]}

        def looks():
            return r.request("GET", "/v1/stream/a?offset=-1", None, cookie)[0]
        assert looks() == 200
        r.stop()
        publisher.delay = 0.5
        r.start()
        assert looks() == 200
        publisher.delay = 0
        publisher.keys = [Key(maker, "ES256", "summer")]
        stranger = Key(maker, "ES256", "nobody's").token(claims())
        wait_for(lambda: r.status_of(stranger) == 401 and looks() == 401, "the end of spring")


@pytest.mark.browser
def test_a_refreshed_token_keeps_what_its_subject_has(maker, keys):
    """What belongs to a subject is there for each of its tokens: the session, and the account of one's own."""
    mine = {"render": ["**"], "bet": ["**"]}
    with Jwts({**USUAL, "jwt_keys_file": "DIR/keys.json"}, "--capture-workers=1", "--capture-allow-private=*", bridge=1,
              files={"keys.json": json.dumps({"keys": [keys["ES256"].jwk]})}) as r:
        first, later = (keys["ES256"].token(claims(sub="ann", jti=jti, ringside=mine)) for jti in ("1", "2"))
        other = keys["ES256"].token(claims(sub="bob", ringside=mine))
        assert first != later
        order = json.dumps({"targetUrl": f"{pages()}/session.html", "renderOptions": {"resolution": "320x180"}}).encode()
        status, _, body = r.ask("POST", "/stream", first, order)
        assert status == 201, body
        session = json.loads(body)["streamId"]
        assert [r.status_of(token, "GET", f"/stream/{session}") for token in (first, later, other)] == [200, 200, 404]
        accounts = [r.ask("POST", "/v1/ledger/accounts", token, b"{}") for token in (first, later, other)]
        assert [status for status, _, _ in accounts] == [201, 200, 201]
        ids = [json.loads(body)["id"] for _, _, body in accounts]
        assert ids[0] == ids[1] != ids[2]
