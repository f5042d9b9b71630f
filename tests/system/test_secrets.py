"""Where secrets come from, and that they go nowhere: to no log, answer, metric or process list. And the production file that
the documents show, which is run as it stands there."""

import json
import os
import re
import secrets
import subprocess
import sys
import textwrap

import pytest


from client_python import CLIENT
from ringside import Ringside, wait_for
from solana_cluster import Key, base58

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
with open(os.path.join(ROOT, "README.md")) as file:
    README = file.read()
with open(os.path.join(ROOT, "docs", "operations.md")) as file:
    OPERATIONS = file.read().partition("\n## A minimal production file\n")[2].partition("\n## ")[0]
with open(os.path.join(ROOT, "docs", "configuration.md")) as file:
    # From the page that the table prints, so that whatever becomes a secret is tried.
    SECRETS = [(key, kind) for key, kind in re.findall(r"^\| `([a-z_.]+)` \| ([a-zA-Z ]+) \|", file.read(), re.M)
               if kind in ("token", "tokens", "secret", "secret URL", "secret lines")]
JSON = {"content-type": "application/json"}


def blocks(text):
    return [textwrap.dedent(b).strip("\n") + "\n" for b in re.findall(r"(?:^    .*\n|^\n)+", text, re.M) if b.strip()]


def write(path, text, mode=0o600):
    with open(path, "w") as out:
        out.write(text)
    os.chmod(path, mode)
    return path


def bearer(token, **more):
    return {"authorization": f"Bearer {token}", **more}


def without_dev(r):
    r.flags.remove("--dev")
    return r


def check_config(r, *arguments, environment=None):
    return subprocess.run([r.program, "check-config", *arguments], capture_output=True, text=True, timeout=60,
                          check=False, env={**r.environment, **(environment or {})})


def shown(r):
    return json.loads(r.ctl("settings", "--json")[0])


# ---- where they come from ----

def test_a_file_is_read_at_the_start_and_at_each_reload(tmp_path):
    """By all three ways to reload; a bad file changes nothing."""
    path = write(tmp_path / "reader", "reader-of-monday\n")
    with without_dev(Ringside(start=False, config=f"auth:\n  subscribe_tokens_file: {path}\n")) as r:
        r.start()

        def status(token):
            return r.request("GET", "/v1/stream/none", headers=bearer(token))[0]

        assert [status(t) for t in ("reader-of-monday", "reader-of-tuesday")] == [404, 401]
        assert shown(r)["auth.subscribe_tokens"] == f"(set, from {path})"
        write(path, "reader-of-tuesday\n")
        assert "auth.subscribe_tokens" in r.ctl("reload")[0]
        assert [status(t) for t in ("reader-of-monday", "reader-of-tuesday")] == [401, 404]
        write(path, "two words\n")
        assert f"auth.subscribe_tokens_file: {path}: must be tokens" in r.ctl("reload", code=1)[1]
        os.unlink(path)
        assert f"auth.subscribe_tokens_file: {path}: No such file" in r.ctl("reload", code=1)[1]
        assert status("reader-of-tuesday") == 404
        write(path, "reader-of-friday", mode=0o644)
        assert f"{path} may be used by others than its owner (mode 0644)" in r.ctl("reload")[0]
        assert status("reader-of-friday") == 404
        write(path, "reader-of-sunday")
        r.signal(1)
        wait_for(lambda: status("reader-of-sunday") == 404, "the token after SIGHUP")
        assert not re.search("reader-of-|two words", r.log())


@pytest.mark.parametrize("prefix", ["", "ringside."])
def test_directories(tmp_path, prefix):
    """systemd's and a container's, read again at a reload; a file that is nearly one is named."""
    credentials, container = tmp_path / "credentials", tmp_path / "secrets"
    credentials.mkdir()
    container.mkdir()
    write(credentials / f"{prefix}auth.publish_tokens", "from-credentials-1\n", mode=0o440)
    write(container / f"{prefix}auth.publish_tokens", "from-the-container-1\n", mode=0o444)
    write(container / f"{prefix}auth.source_token", "from-the-container-2\n", mode=0o444)
    write(container / f"{prefix}auth_ledger_tokem", "from-nowhere-01234567\n")
    write(container / "database-password", "somebody-elses-01234\n")
    with without_dev(Ringside(start=False, bridge=1, environment={"CREDENTIALS_DIRECTORY": str(credentials),
                                                        "RINGSIDE_SECRETS_DIR": str(container)})) as r:
        r.start()
        wait_for(lambda: r.request("GET", "/v1/source/arena", headers=bearer("from-the-container-2"))[0] == 200, "the game")
        assert r.request("PUT", "/v1/stream/a", headers=bearer("from-credentials-1", **JSON))[0] == 201
        assert r.request("PUT", "/v1/stream/a", headers=bearer("from-the-container-1", **JSON))[0] == 401
        assert "auth_ledger_tokem: is not used: no setting has that name (is auth.ledger_token meant?)" in r.log()
        assert "secrets/" + prefix + "auth.source_token may be used by others" in r.log()
        assert "database" not in r.log() and "credentials/" + prefix not in r.log()
        write(container / f"{prefix}auth.source_token", "from-the-container-3\n", mode=0o444)
        r.ctl("reload")
        wait_for(lambda: r.request("GET", "/v1/source/arena", headers=bearer("from-the-container-3"))[0] == 200, "the game")


def test_what_is_refused_names_its_place(tmp_path):
    path = write(tmp_path / "f", "a-token-of-the-file\n")
    with Ringside(start=False, config="") as r:
        for text, said in (
                (f"auth.source_token: a\nauth.source_token_file: {path}\n",
                 f"{r.config}:2: auth.source_token: given as auth.source_token_file, too\n"),
                (f"\nauth.source_token_file: {path}x\n",
                 f"{r.config}:2: auth.source_token_file: {path}x: No such file or directory\n")):
            r.write_config(text)
            done = check_config(r, "--config", r.config)
            assert (done.returncode, done.stderr) == (2, said)
            r.spawn()
            assert r.wait_exit() == 2 and said in r.log()


def test_a_secret_on_the_command_line_is_written_over():
    with without_dev(Ringside("--auth-publish-tokens=on-the-command-line", "--bet-sync-token", "on-the-command-line",
                              start=False)) as r:
        r.start()
        with open(f"/proc/{r.process.pid}/cmdline") as arguments:
            words = arguments.read().split("\0")
        assert f"--auth-publish-tokens={'*' * 19}" in words and f"--run-dir={r.run_dir}" in words
        assert r.request("PUT", "/v1/stream/a", headers=bearer("on-the-command-line", **JSON))[0] == 201
        assert "auth.publish_tokens: is on the command line" in r.log()
        r.ctl("reload")
        assert r.request("PUT", "/v1/stream/b", headers=bearer("on-the-command-line", **JSON))[0] == 201
        assert "on-the-command-line" not in r.log()


# ---- what a configuration says ----

def test_tokens_that_can_be_guessed():
    """check-config refuses them, run starts and logs them; under dev nobody asks for tokens."""
    with without_dev(Ringside(start=False, config="auth:\n  publish_tokens: [CHANGE-ME, k7_Qz3pAk7_Qz3pA]\n"
                                              "  source_token: x\n  ledger_token: k7_Qz3pAk\n")) as r:
        os.chmod(r.config, 0o600)
        done = check_config(r, "--config", r.config)
        assert done.returncode == 2 and done.stdout == ""
        assert done.stderr == (f"{r.config}:2: auth.publish_tokens: token 1 of 2 is a placeholder\n"
                               f"{r.config}:3: auth.source_token: is a placeholder\n"
                               f"doubtful: {r.config}:4: auth.ledger_token: is shorter than 16 characters\n")
        assert check_config(r, "--dev", "--config", r.config).returncode == 0
        r.start()
        assert r.log().count("token that can be guessed what=") == 2
        assert "CHANGE-ME" not in r.log()


def test_what_is_lacking_is_listed():
    with Ringside(start=False, config="bet_sync.token: k7_Qz3pAk7_Qz3pA\n") as r:
        os.chmod(r.config, 0o600)
        done = check_config(r, "--config", r.config)
        assert done.returncode == 0 and "valid" in done.stdout
        assert "- nobody may post the facts of arena: set auth.source_token" in done.stdout
        assert "frames of arena" not in done.stdout and "k7_Qz3pA" not in done.stdout
        assert check_config(r, "--strict", "--config", r.config).returncode == 1
        assert check_config(r, "--strict", "--dev").returncode == 0


# ---- the production file of the documents ----

def test_the_documents_say_the_same():
    config, commands = blocks(OPERATIONS)[:2]
    assert config in README.replace("\n    ", "\n") and commands in README.replace("\n    ", "\n")
    named = re.search(r"for key in (.*);", commands).group(1).split()
    assert len(named) == 5 and set(named) <= set(key for key, _ in SECRETS)


@pytest.fixture
def production(tmp_path):
    """The file as it stands in the documents, and what is typed there, in a directory of this test's."""
    config, commands = blocks(OPERATIONS)[:2]
    directory = tmp_path / "ringside"
    with without_dev(Ringside("--duel-countdown=50ms", "--duel-resolution=50ms", "--duel-pause=10ms", bridge=1, start=False,
                              config=config, environment={"CREDENTIALS_DIRECTORY": str(directory)})) as r:
        text = commands.replace("/etc/ringside.yaml", r.config).replace("/etc/credstore", str(directory))
        done = subprocess.run(["bash", "-ec", text.replace(" ringside check", f" {r.program} check")], capture_output=True,
                              text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "lacking" not in done.stdout and done.stderr == ""
        r.directory = directory
        r.start()
        wait_for(lambda: r.request("GET", "/v1/markets", headers=bearer(token(r, "auth.subscribe_tokens")))[0] == 200, "markets")
        assert "doubtful" not in r.log() and "guessed" not in r.log()
        yield r


def token(r, key):
    return (r.directory / f"ringside.{key}").read_text().strip()


def test_who_asks_is_answered(production):
    """Each command of the table, with the token of its line and of no other."""
    r = production
    game = bearer(token(r, "auth.source_token"))
    wait_for(lambda: r.request("GET", "/v1/source/arena", headers=game)[0] == 200, "the feed")
    helper = next(b for b in blocks(OPERATIONS) if b.startswith("bearer()"))
    rows = re.findall(r"^\| [^|]* \| `(\S+)` \| `(.*)` \|$", OPERATIONS, re.M)
    assert len(rows) == 5
    for key, command in rows:
        assert f"bearer {key} " in command
        text = command.replace("\\|", "|").replace("https://arena.example", r.url)
        follows = " -N " in text
        for used in (key, next(k for k, _ in rows if k != key and "metrics" not in k)):
            script = (helper + text.replace(f"bearer {key}", f"bearer {used}")).replace("/etc/credstore", str(r.directory))
            done = subprocess.run(["bash", "-c", script.replace("curl ", "curl -m 3 " if follows else "curl ", 1)],
                                  capture_output=True, text=True, timeout=60, check=False)
            expected = (28 if follows else 0) if used == key else 22
            assert done.returncode == expected and bool(done.stdout) == (used == key), (command, used, done)


def test_a_game_and_a_market(production, tmp_path):
    """The game of the README with its token; the house opens an account, whose bet is paid."""
    r = production
    games = blocks(README.partition("## A game behind it")[2].partition("\n## ")[0])
    program = write(tmp_path / "game.py", games[0].replace("sleep(0.5)", "sleep(0.01)")
                    .replace("announcementMs=10000", "announcementMs=3000")
                    .replace('Server("http://127.0.0.1:4437")', f'Server({r.url!r}, {token(r, "auth.source_token")!r})'))
    house, viewer = bearer(token(r, "auth.ledger_token"), **JSON), bearer(token(r, "auth.subscribe_tokens"))
    account = json.loads(r.request("POST", "/v1/ledger/accounts", b'{"grant":100}', house)[2])
    game = subprocess.Popen([sys.executable, program], env={**os.environ, "PYTHONPATH": os.path.join(CLIENT, "src")})

    def market(state):
        markets = json.loads(r.request("GET", "/v1/markets", headers=viewer)[2])["markets"]
        return next((m for m in markets if m["state"] == state), None)

    try:
        duel = wait_for(lambda: market("open"), "an open market")["duelId"]
        body = json.dumps({"account": account["id"], "side": "A", "amount": 100}).encode()
        assert r.request("POST", f"/v1/markets/{duel}/bets", body, bearer(account["secret"], **JSON))[0] == 201
        assert wait_for(lambda: market("resolved"), "the payment")["duelId"] == duel
    finally:
        assert game.wait(60) == 0
    state = json.loads(r.request("GET", "/api/internal/bet-sync/state", headers=bearer(token(r, "bet_sync.token")))[2])
    assert state["seq"] > 10


# ---- that they go nowhere ----

WAYS = ("file", "environment", "environment file", "credentials", "secrets_dir")


def marker():
    return secrets.token_hex(12)


def value_of(key, kind, mark):
    """A value of that kind which is good, with the marker where the secret is."""
    if kind == "secret URL":
        return f"https://{mark}:{mark}@127.0.0.1:9/{mark}"
    return {"capture.url": f"http://127.0.0.1:9/#token={mark}", "capture.outputs": f"x=rtmp://127.0.0.1:9/live/{mark}",
            "sessions.ice_servers": f"turn:127.0.0.1:9|{mark}|{mark}",
            "auth.token_rows": f"alice token:{mark} read=named/**  # {mark}\n\nbert token:{mark}b append=**",
            "auth.jwt_secret": f"{mark}{mark}",
            "solana.key": base58(Key(mark).bytes),
            "auth.jwt_keys": json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "alg": "EdDSA", "note": mark,
                                                   "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]})}.get(key, mark)


class Given:
    """Every secret setting with a marker of its own, each by one of the ways, in turn."""

    def __init__(self, directory, shift):
        self.marks, self.config, self.environment = {}, "log.level: debug\nbet_sync.token_previous_expires: 4102444800000\n", {}
        for name in ("credentials", "secrets", "files"):
            os.mkdir(os.path.join(directory, name))
        for i, (key, kind) in enumerate(SECRETS):
            mark = self.marks[key] = marker()
            value = value_of(key, kind, mark)
            if mark not in value:
                self.marks[key] = value
            variable = "RINGSIDE_" + key.replace(".", "_").upper()
            way = WAYS[(i + shift) % len(WAYS)]
            if way == "environment":
                self.environment[variable] = value
                continue
            folder = {"credentials": "credentials", "secrets_dir": "secrets"}.get(way, "files")
            path = write(os.path.join(directory, folder, key), value + "\n")
            if way == "file":
                self.config += f"{key}_file: {path}\n"
            elif way == "environment file":
                self.environment[variable + "_FILE"] = path
        self.environment["CREDENTIALS_DIRECTORY"] = os.path.join(directory, "credentials")
        self.environment["RINGSIDE_SECRETS_DIR"] = os.path.join(directory, "secrets")


def leaks(marks, text, where):
    found = [key for key, mark in marks.items() if mark in text]
    assert not found, f"{where}: {found}"


def command_lines(r):
    """Of all of its processes."""
    for pid in [r.process.pid, *r.worker_pids()]:
        for name in ("cmdline", "comm"):
            with open(f"/proc/{pid}/{name}", errors="replace") as text:
                yield f"{pid} {name}", text.read()
    for pid in r.worker_pids():
        with open(f"/proc/{pid}/environ", errors="replace") as text:
            yield f"{pid} environ", text.read()


def answers(r, marks):
    """What is said to good and bad requests with every one of them: by header, scheme, path and query."""
    paths = [("GET", "/v1/stream/a"), ("PUT", "/v1/stream/a"), ("POST", "/v1/stream/a"), ("DELETE", "/v1/stream/none"),
             ("GET", "/metrics"), ("GET", "/v1/source/arena"), ("POST", "/v1/source/arena/cycle"),
             ("GET", "/v1/markets"), ("POST", "/v1/ledger/accounts"), ("GET", "/api/internal/bet-sync/state"),
             ("GET", "/v1/outputs"), ("POST", "/stream"), ("GET", "/v1/events?stream=a&x=1"), ("GET", "/readyz")]
    for key, mark in marks.items():
        for method, path in paths:
            if path.startswith("/v1/events"):
                path = "/v1/stream/a?offset=-1"
            for headers in (bearer(mark), {"authorization": f"bearer  {mark}x"}, {"authorization": f"Basic {mark}"}):
                headers = {**headers, **JSON, "referer": f"https://arena.example/#{mark}"}
                status, said, body = r.request(method, path, b"[1" if method in ("PUT", "POST") else None, headers)
                yield f"{key} {method} {path} {status}", str(said) + body.decode(errors="replace")


def passes(r, token):
    """A cookie and a ticket, and what is said to good, bad and foreign uses of them."""
    _, headers, _ = r.request("POST", "/v1/login", b"", bearer(token))
    name, _, cookie = headers["set-cookie"].partition(";")[0].partition("=")
    status, _, body = r.request("POST", "/v1/tickets", b'{"read":["a"],"expiresIn":60}', bearer(token, **JSON))
    assert status == 201, body
    ticket = json.loads(body)["ticket"]
    marks, said = {"cookie": cookie, "ticket": ticket}, []
    for query, value, method, origin, expected in (
            ("", cookie, "GET", None, 200), ("", cookie + "x", "GET", None, 401), ("", cookie, "POST", "http://evil.example", 403),
            (f"&ticket={ticket}", None, "GET", None, 200), (f"&ticket={ticket}x", None, "GET", None, 401),
            (f"&ticket={ticket}", None, "POST", None, 401), (f"&ticket={ticket}&live=sse&offset=x", None, "GET", None, 400)):
        sent = {**({"cookie": f"{name}={value}"} if value else {}), **({"origin": origin} if origin else {}),
                **(JSON if method == "POST" else {}), "referer": f"{r.url}/?ticket={ticket}"}
        status, headers, body = r.request(method, f"/v1/stream/a?offset=-1{query}", b"[1]" if method == "POST" else None, sent)
        assert status == expected, (query.replace(ticket, "T"), method, status, body)
        said.append((f"{method} {expected}", str(headers) + body.decode()))
    assert r.request("GET", f"/v1/stream/b?ticket={ticket}")[0] in (401, 403)
    return marks, said


@pytest.mark.parametrize("shift", range(len(WAYS)))
def test_no_secret_is_seen_anywhere(tmp_path, shift):
    given = Given(str(tmp_path), shift)
    with without_dev(Ringside(start=False, workers=2, bridge=1, config=given.config, environment=given.environment)) as r:
        os.chmod(r.config, 0o600)
        done = check_config(r, "--config", r.config, environment=given.environment)
        assert done.returncode == 0, done.stderr
        leaks(given.marks, done.stdout + done.stderr, "check-config")
        r.start()
        wait_for(lambda: r.request("GET", "/v1/source/arena", headers=bearer(given.marks["auth.source_token"]))[0] == 200,
                 "the game")
        # Each is in use.
        values = shown(r)
        for key, kind in SECRETS:
            assert values[key].startswith("(set" if kind != "secret URL" else "https://127.0.0.1:9/#"), values[key]
        assert r.request("PUT", "/v1/stream/a", headers=bearer(given.marks["auth.publish_tokens"], **JSON))[0] == 201
        assert r.request("GET", "/metrics", headers=bearer(given.marks["auth.metrics_token"]))[0] == 200
        assert r.request("POST", "/v1/ledger/accounts", b"{}", bearer(given.marks["auth.ledger_token"], **JSON))[0] == 201
        for where, text in answers(r, given.marks):
            leaks(given.marks, text, where)
        marks, said = passes(r, given.marks["auth.publish_tokens"])
        given.marks.update(marks)
        for where, text in said:
            leaks(given.marks, text, where)
        leaks(given.marks, r.request("GET", "/metrics", headers=bearer(given.marks["auth.metrics_token"]))[2].decode(),
              "metrics")
        for command in (("status",), ("status", "--json"), ("settings",), ("settings", "--json"), ("events",), ("reload",),
                        ("duels", "ls"), ("duels", "show"), ("markets", "ls"), ("streams", "ls"), ("feed", "tail"),
                        ("log-level", "debug"), ("restart", "all"), ("streams", "stat", "a", "--json")):
            leaks(given.marks, "".join(r.ctl(*command)), command)
        for where, text in command_lines(r):
            leaks(given.marks, text, where)
        leaks(given.marks, "".join(os.listdir(r.run_dir) + os.listdir(r.data_dir)), "names of files")
        # What is wrong is said without it.
        for key, _ in SECRETS:
            bad = {key.replace(".", "_").upper(): given.marks[key] + " \x01"}
            done = check_config(r, environment={f"RINGSIDE_{k}": v for k, v in bad.items()})
            assert done.returncode == 2 and key in done.stderr
            leaks(given.marks, done.stdout + done.stderr, f"a bad {key}")
        leaks(given.marks, r.log(), "the log")
        r.stop()
        leaks(given.marks, r.log(), "the log")
