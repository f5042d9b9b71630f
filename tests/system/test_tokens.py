"""Rows of tokens: their file, ringsidectl tokens, and rights against a reference of their own."""

import hashlib
import http.client
import json
import os
import random
import re
import subprocess
import urllib.parse

import pytest

from ringside import Ringside, wait_for

HEX = "ab" * 32


def rows_file(r, text="", mode=0o600):
    path = os.path.join(r.dir, "tokens")
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)
    return path


def with_rows(text="", *flags, mode=0o600, start=True, config=None, **more):
    """A Ringside without dev whose auth.tokens has these rows."""
    r = Ringside(*flags, start=False, config=config, **more)
    r.flags.remove("--dev")
    r.flags.append(f"--auth-tokens={rows_file(r, text, mode)}")
    if start:
        try:
            r.start()
        except BaseException:
            r.__exit__(None, None, None)
            raise
    return r


def tokens(r):
    return json.loads(r.ctl("tokens", "ls", "--json")[0])["tokens"]


def check(r, who, verb, path, text=None):
    done = subprocess.run([os.path.join(os.path.dirname(r.program), "ringsidectl"), "--run-dir", r.run_dir, "tokens",
                           "check", who, verb, path, "--json"], capture_output=True, text=True, input=text, timeout=60)
    assert done.returncode in (0, 1), done.stderr
    answer = json.loads(done.stdout) if done.stdout else {"allowed": False, "why": done.stderr}
    assert (done.returncode == 0) == answer["allowed"]
    return answer


def test_add_check_revoke():
    with with_rows("# kept\n") as r:
        path = os.path.join(r.dir, "tokens")
        token, said = r.ctl("tokens", "add", "game", "post=arena", "read=arena/**", "--expires", "30d")
        token = token.strip()
        assert re.fullmatch(r"rs_[\w-]{43}", token) and "shown this once" in said
        digest = hashlib.sha256(token.encode()).hexdigest()
        row = open(path).read().splitlines()
        assert row[0] == "# kept" and row[1].startswith(f"game sha256:{digest} read=arena/** post=arena expires=")
        assert os.stat(path).st_mode & 0o777 == 0o600 and os.listdir(r.dir).count("tokens.new") == 0
        assert [(t["name"], t["sha256"], t["ended"]) for t in tokens(r)] == [("game", digest[:12], False)]
        assert check(r, "-", "read", "arena/x", token + "\n") == \
            {"allowed": True, "by": f"game sha256:{digest[:12]}: read=/v1/stream/arena/**"}
        assert check(r, "game", "post", "arena")["allowed"]
        assert not check(r, "game", "append", "arena/x")["allowed"]
        assert not check(r, "-", "read", "arena/x", token[:-1] + "\n")["allowed"]
        # A second token of the name, by its digest; then one of the two goes.
        r.ctl("tokens", "add", "game", "append=**", "--sha256", HEX)
        assert check(r, "game", "append", "x")["allowed"]
        assert r.ctl("tokens", "revoke", digest[:10])[0] == f"revoked: game sha256:{digest[:12]}\n"
        assert not check(r, "game", "read", "arena/x")["allowed"] and check(r, "game", "append", "x")["allowed"]
        r.ctl("tokens", "revoke", "game")
        assert tokens(r) == [] and open(path).read() == "# kept\n"
        # Who did it is logged, and what it was; of the token nothing.
        log = r.log()
        assert re.search(rf"token-added name=game sha256={digest[:12]} rights=\"read=arena/\*\* post=arena\" "
                         rf"expires=\S+ uid={os.geteuid()}", log)
        assert log.count("token-revoked name=game") == 2
        assert token not in log and digest not in log and HEX not in log


@pytest.mark.parametrize("arguments,said", [
    (("add", "a b", "read=x"), "a name is letters, digits"),
    (("add", "anonymous"), "not anonymous"),
    (("add", "a", "see=x"), "verb 'see' is unknown: the verbs are read append create"),
    (("add", "a", "read=%2A"), "escaped '*'"),
    (("add", "a", "--sha256", "12"), "64 hexadecimal digits"),
    (("add", "a", "--expires", "soon"), "--expires is a time"),
    (("add", "a", "--expires", "2020-01-01T00:00:00Z"), "lies in the past"),
    (("add",), "a name is expected: add NAME [VERB=PATTERN...] [--expires WHEN] [--sha256 HEX]"),
    (("revoke",), "is expected"),
    ((), "[--expires WHEN] [--sha256 HEX], ls, revoke NAME"),
])
def test_wrong_usage_changes_nothing(arguments, said):
    with with_rows("a sha256:" + HEX + "\n", dummy=True) as r:
        assert said in r.ctl("tokens", *arguments, code=2)[1]
        assert open(os.path.join(r.dir, "tokens")).read() == "a sha256:" + HEX + "\n"


def test_what_gives_nothing_is_doubted_and_added():
    with with_rows(dummy=True) as r:
        token, said = r.ctl("tokens", "add", "a", "read=/arena/**,arena/**,/v1/markets")
        assert "doubtful: a: read=/arena/**: no request has such a path\n" in said
        assert said.count("doubtful") == 1 and token.startswith("rs_") and token.count("\n") == 1
        assert "doubtful: b: it has no right" in r.ctl("tokens", "add", "b", "--json")[1]
        assert "doubtful" not in r.ctl("tokens", "add", "c", "operate=/v1/outputs/**", "bet=accounts")[1]
        assert [t["name"] for t in tokens(r)] == ["a", "b", "c"]


def test_check_config_doubts_what_everybody_may():
    with with_rows("game sha256:" + HEX + " post=arena\n", dummy=True, start=False) as r:
        def checked(rights):
            done = subprocess.run([r.program, "check-config", "--strict", *r.flags, "--auth-public=" + rights],
                                  capture_output=True, text=True, timeout=60)
            return done.stderr, done.stdout
        doubts, told = checked("read=feeds/arena/*")
        assert doubts == "" and "feeds: everybody (auth.public) feeds/arena/*\n" in told
        assert "facts: game arena\n" in told
        doubts, told = checked("read=** post=arena")
        assert re.fullmatch(r"doubtful: the command line: auth.public: post: everybody may post .*\n", doubts)
        assert "facts: everybody (auth.public) arena, game arena\n" in told


def test_what_cannot_be_done_is_said():
    with with_rows("a sha256:" + HEX + "\n", "--auth-token-rows=b token:inline-4f3a9c", dummy=True) as r:
        assert "there is no token of c" in r.ctl("tokens", "revoke", "c", code=1)[1]
        assert "it stands in auth.token_rows" in r.ctl("tokens", "revoke", "b", code=1)[1]
        assert "its token is that of" in r.ctl("tokens", "add", "c", "--sha256", HEX, code=1)[1]
        assert "there is no verb see" in r.ctl("tokens", "check", "a", "see", "x", code=1)[1]
        assert {t["name"] for t in tokens(r)} == {"a", "b"}
    with Ringside(dummy=True) as r:
        assert "auth.tokens names no file" in r.ctl("tokens", "add", "a", code=1)[1]


@pytest.mark.parametrize("text,mode,said", [
    ("a token:s3cret-s3cret\n\nb see\n", 0o600, r"tokens:3: the second word is sha256:HEX or token:TEXT"),
    ("a token:s3cret-s3cret see=x\n", 0o600, r"tokens:1: the verbs are read append"),
    ("a token:s3cret-s3cret\nb token:s3cret-s3cret\n", 0o600, r"tokens:2: its token is that of \S+/tokens:1"),
    ("a token:s3cret-s3cret\n", 0o644, r"tokens: is open to others than its owner \(mode 644\): chmod 600"),
])
def test_a_fault_stops_the_start_and_says_where(text, mode, said):
    with with_rows(text, mode=mode, start=False, dummy=True) as r:
        r.spawn()
        assert r.wait_exit() == 2 and re.search(said, r.log())
        checked = subprocess.run([r.program, "check-config", *r.flags], capture_output=True, text=True)
        assert checked.returncode == 2 and re.search(said, checked.stderr)
        assert "s3cret" not in r.log() + checked.stdout + checked.stderr


def test_a_reload_takes_the_file_whole_or_not_at_all():
    with with_rows("a sha256:" + HEX + "\n", dummy=True) as r:
        rows_file(r, "b sha256:" + HEX + "\nc see\n")
        assert "tokens:2: " in r.ctl("reload", code=1)[1]
        assert [t["name"] for t in tokens(r)] == ["a"]
        rows_file(r, "b sha256:" + HEX + "\n")
        assert "changed: auth.tokens" in r.ctl("reload")[0]
        assert [t["name"] for t in tokens(r)] == ["b"]
        assert "nothing changed" in r.ctl("reload")[0]
        # What ringsidectl has changed is not news to a reload.
        r.ctl("tokens", "revoke", "b")
        assert "nothing changed" in r.ctl("reload")[0]


def test_ten_thousand_rows_reach_the_workers():
    rows = "".join(f"n{i} sha256:{i:064x} read=some/where/{i}/**,/v1/markets/{i} append=some/where/{i}\n" for i in range(10000))
    with with_rows(rows, bridge=1) as r:
        assert len(tokens(r)) == 10000
        assert check(r, "n9999", "append", "some/where/9999")["allowed"]
        assert "more than 10000" in r.ctl("tokens", "add", "more", code=1)[1]
        r.ctl("tokens", "revoke", "n17")
        assert len(tokens(r)) == 9999
        r.ctl("tokens", "add", "more")
        r.ctl("restart", "all")
        assert r.request("GET", "/healthz")[0] == 200


def test_killed_while_it_edits_the_file_is_whole():
    """Either the old text or the new one, and what is acknowledged is there."""
    with with_rows(dummy=True) as r:
        path = os.path.join(r.dir, "tokens")
        for round in range(8):
            running = [subprocess.Popen([os.path.join(os.path.dirname(r.program), "ringsidectl"), "--run-dir", r.run_dir,
                                         "tokens", "add", f"n{round}-{i}", "read=**"],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for i in range(6)]
            wait_for(lambda: open(path).read().count(f"n{round}-") >= 2, "two rows")
            r.process.kill()
            r.process.wait()
            acknowledged = [p.communicate()[0].strip() for p in running]
            text = open(path).read()
            assert text.endswith("\n") and all(re.fullmatch(r"n\d-\d sha256:[0-9a-f]{64} read=\*\*", line)
                                               for line in text.splitlines())
            for token in filter(None, acknowledged):
                assert hashlib.sha256(token.encode()).hexdigest() in text
            r.start()


# ---- rights against a reference ----

ROOTS = {"read": "/v1/stream/", "append": "/v1/stream/", "create": "/v1/stream/", "delete": "/v1/stream/",
         "render": "/stream/", "view": "/stream/", "post": "/v1/source/", "bet": "/v1/ledger/", "operate": "/v1/",
         "metrics": "/", "spawn": "/v1/hub/", "frames": "/v1/feeds/"}


def canonical(text):
    """Bytes that may stand in a path as they are stand so, others as %XX; an escaped '/' stays one."""
    out, i, raw = "", 0, text.encode()
    plain = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/"
    while i < len(raw):
        escape = re.match(rb"%([0-9a-fA-F]{2})", raw[i:])
        byte = int(escape.group(1), 16) if escape else raw[i]
        stands = byte in plain and not (escape and byte == ord("/"))
        out += chr(byte) if stands else f"%{byte:02X}"
        i += 3 if escape else 1
    return out


def matches(pattern, path):
    """By regular expressions: one for a segment, and a recursion for '**'."""
    def segment(p, s):
        return s != "" and re.fullmatch("".join(".*" if c == "*" else re.escape(c) for c in p), s) is not None

    def rest(p, s):
        if not p:
            return not s
        if p[0] == "**":
            return any(rest(p[1:], s[i:]) for i in range(len(s) + 1))
        return bool(s) and segment(p[0], s[0]) and rest(p[1:], s[1:])
    if "*" not in pattern:
        return pattern == path
    return rest(pattern[1:].split("/"), path[1:].split("/"))


def reference(rights, verb, path):
    whole = canonical(path if path.startswith("/") else ROOTS[verb] + path)
    return any(matches(canonical(p if p.startswith("/") else ROOTS[verb] + p), whole)
               for v, patterns in rights for p in patterns if v == verb)


SEGMENTS = ["a", "b", "ab", "arena", "a%2Fb", "%61", "ä", "a,b".replace(",", "%2C"), "..", "v1"]
WILD = ["*", "**", "a*", "*b", "a*b"]
PLACES = ["/v1/stream/", "/v1/markets/", "/v1/feeds/", "/v1/source/", "/stream/", "/", "", "", ""]


def some_path(rng, wild):
    choices = SEGMENTS + WILD * 2 if wild else SEGMENTS
    return rng.choice(PLACES) + "/".join(rng.choice(choices) for _ in range(rng.randint(1, 4)))


def some_identities(rng, count):
    found = {}
    for i in range(count):
        found[f"n{i}"] = [(rng.choice(list(ROOTS)), [some_path(rng, True) for _ in range(rng.randint(1, 3))])
                          for _ in range(rng.randint(0, 5))]
    return found


def words(rights):
    return " ".join(f"{verb}={','.join(patterns)}" for verb, patterns in rights)


def test_the_reference_knows_what_it_says():
    for rights, verb, path, allowed in [
            ("arena/**", "read", "arena", True), ("arena/**", "read", "arenas", False), ("*", "read", "a/b", False),
            ("/**", "read", "/x", True), ("a%2fb", "read", "a/b", False), ("%61", "read", "a", True),
            ("**/b", "read", "b", True), ("a*b", "read", "ab", True), ("x", "append", "x", False)]:
        assert reference([("read", [rights])], verb, path) == allowed


def test_tokens_check_agrees_with_the_reference():
    """Through ringsidectl: identities, verbs and paths that generators make."""
    rng = random.Random(5)
    identities = some_identities(rng, 12)
    rows = "".join(f"{name} sha256:{i:064x} {words(rights)}\n" for i, (name, rights) in enumerate(identities.items()))
    public = [("view", ["**/a", "b*"]), ("read", ["/v1/markets/**"])]
    allowed = 0
    with with_rows(rows, f"--auth-public={words(public)}", dummy=True) as r:
        for _ in range(300):
            name = rng.choice([*identities, "anonymous"])
            rights = identities.get(name, public)
            verb = rng.choice([v for v, _ in rights] or list(ROOTS)) if rng.random() < 0.8 else rng.choice(list(ROOTS))
            path = some_path(rng, False)
            if rng.random() < 0.6:  # one that a pattern of his is about, or nearly
                path = rng.choice([p for v, ps in rights for p in ps if v == verb] or [path]).replace("*", "a")
            expected = reference(rights, verb, path)
            assert check(r, name, verb, path)["allowed"] == expected, (name, rights, verb, path)
            allowed += expected
    assert 60 < allowed < 240


# Over HTTP. What is asked, and what it takes: verb, method, the target, the resource that the right is about.
ASKED = [
    ("read", "GET", "/v1/stream/{path}", None),
    ("append", "POST", "/v1/stream/{path}", None),
    ("create", "PUT", "/v1/stream/{path}", None),
    ("delete", "DELETE", "/v1/stream/{path}", None),
    ("read", "GET", "/v1/markets/{segment}", None),
    ("read", "GET", "/v1/duels/{segment}", None),
    ("read", "GET", "/v1/feeds/{segment}", None),
    ("post", "POST", "/v1/source/{segment}/fact", "/v1/source/{segment}"),
    ("view", "GET", "/v1/hls/{segment}/index.m3u8", "/v1/hls/{segment}"),
    ("metrics", "GET", "/metrics", None),
]
SHORT = {"auth-subscribe-tokens": [("read", ["/**"]), ("view", ["/v1/hls/**"])],
         "auth-publish-tokens": [(v, ["/**"]) for v in ("read", "append", "create", "delete", "render")]
         + [("view", ["/v1/hls/**"])],
         "auth-metrics-token": [("metrics", ["/**"])],
         "auth-source-token": [("post", ["/**"])]}


def http_patterns(rng, verb):
    """Whole ones and such as stand below the root, most of them about what is asked for."""
    below = {"read": ["", "", "/v1/markets/", "/v1/duels/", "/v1/feeds/"], "view": ["/v1/hls/"], "metrics": ["/", ""]}
    found = []
    for _ in range(rng.randint(1, 4)):
        segments = [rng.choice(SEGMENTS + WILD * 2) for _ in range(rng.randint(1, 3))]
        if verb == "metrics" and rng.random() < 0.5:
            segments = ["metrics"]
        found.append(rng.choice(below.get(verb, [""])) + "/".join(segments))
    return found


def http_identities(rng):
    """token: (rights, what a refusal is). Somebody may everything, or what nobody may is 503."""
    verbs = sorted({verb for verb, *_ in ASKED})
    rows = {"all": [(verb, ["/**"]) for verb in verbs]}
    for i in range(40):
        rows[f"n{i}"] = [(verb, http_patterns(rng, verb)) for verb in rng.sample(verbs, rng.randint(0, 4))]
    return rows


def ask(connection, method, target, token):
    """The status; the body is read, so that the connection goes on."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connection.request(method, target, body=b"x" if method == "POST" else None,
                       headers={**headers, "Content-Type": "text/plain"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def test_http_agrees_with_the_reference():
    """Identities x verbs x paths: who is refused and who is not is what the reference says, thousands of times."""
    rng = random.Random(11)
    rows, public = http_identities(rng), [("read", ["open/**", "**/a"]), ("view", ["/v1/hls/b*"])]
    flags = [f"--{key}=short-{key}" for key in SHORT]
    askers = {f"token-of-{name}": (rights, 403) for name, rights in rows.items()}
    askers.update({f"short-{key}": (rights, 403) for key, rights in SHORT.items()})
    askers.update({"nobodys": ([], 401), None: (public, 401)})
    text = "".join(f"{name} token:token-of-{name} {words(rights)}\n" for name, rights in rows.items())
    text += "late token:token-of-late read=** expires=2020-01-01T00:00:00Z\n"
    tally = {True: 0, False: 0}
    with with_rows(text, *flags, f"--auth-public={words(public)}", "--bridge-workers=1", bridge=None) as r:
        connection = http.client.HTTPConnection(*r.address(), timeout=60)
        assert ask(connection, "GET", "/v1/stream/a", "token-of-late") == 401
        for n in range(4000):
            token, (rights, refusal) = rng.choice(list(askers.items()))
            mine = [a for a in ASKED if a[0] in [v for v, _ in rights]]
            verb, method, target, resource = rng.choice(mine if mine and rng.random() < 0.7 else ASKED)
            segment, path = rng.choice(SEGMENTS), "/".join(rng.choice(SEGMENTS) for _ in range(rng.randint(1, 3)))
            if token is None and rng.random() < 0.3:
                path = "open/" + path
            if rng.random() < 0.2:  # one that a pattern of his may be about
                path = rng.choice([p for v, ps in rights for p in ps if v == verb] or [path]).replace("*", "a").lstrip("/")
            asked = urllib.parse.quote(target.format(segment=segment, path=path), safe="/%!$&'()*+,;=:@~")
            about = urllib.parse.quote((resource or target).format(segment=segment, path=path), safe="/%!$&'()*+,;=:@~")
            allowed = reference(rights, verb, about)
            status = ask(connection, method, asked, token)
            assert (status != refusal) == allowed and (allowed or status == refusal), \
                (n, token, rights, verb, asked, status, "allowed" if allowed else "refused")
            assert status not in (429, 500), (asked, status)
            tally[allowed] += 1
    assert tally[True] > 800 and tally[False] > 800
