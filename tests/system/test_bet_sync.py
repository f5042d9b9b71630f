"""The bet-sync feed: its wire byte by byte, every boundary of a cursor, who may read it, and how much."""

import decimal
import email.utils
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import time

import pytest

from duel_game import Duels, Game, agents, frames_of
from event_source import EventSource
from ringside import BUILD, Ringside, wait_for

TOKEN = "the.bet-sync_token~1"
STATE, EVENTS = "/api/internal/bet-sync/state", "/api/internal/bet-sync/events"
OLD_STATE, OLD_EVENTS = "/api/streaming/betting/bootstrap", "/api/streaming/betting/events"
BEARER = {"authorization": f"Bearer {TOKEN}"}
MANY = ("--bet-sync-state-rate=100000", "--bet-sync-events-rate=100000")
V1 = ("sourceEpoch", "seq", "emittedAt", "duelId", "duelKey", "phase", "phaseVersion", "betOpenTime", "betCloseTime",
      "fightStartTime", "duelEndTime", "winnerId", "winnerName", "winReason", "agent1", "agent2", "arenaPositions",
      "rendererHealth")
AGENT = ("id", "name", "provider", "model", "hp", "maxHp", "combatLevel", "wins", "losses", "damageDealtThisFight",
         "rank", "headToHeadWins", "headToHeadLosses")


def number_text(x):
    """As JavaScript writes it (ECMA-262, Number::toString), Python's digits being the same."""
    if x == 0 or 1e-6 <= abs(x) < 1e21:
        digits = format(decimal.Decimal(repr(x)), "f")
        return digits[:-2] if digits.endswith(".0") else digits
    mantissa, exponent = f"{repr(x)}e{0}".split("e")[:2]
    return f"{mantissa.removesuffix('.0')}e{int(exponent):+d}"


def text(value):
    if isinstance(value, dict):
        return "{" + ",".join(f"{text(k)}:{text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(text, value)) + "]"
    if isinstance(value, float):
        return number_text(value)
    return json.dumps(value, ensure_ascii=False)


def v1_of(frame):
    """Version 1 as the specification has it, from a version 2 frame."""
    out = {"schemaVersion": 1, **{name: frame[name] for name in V1}}
    out["fightStartTime"] = frame["fightStartTime"] or frame["plannedFightStartTime"]
    if out["winReason"] == "forfeit":
        out["winReason"] = "kill"
    for agent in ("agent1", "agent2"):
        if out[agent] is not None:
            assert tuple(out[agent]) == AGENT
    out["rendererHealth"] = {k: frame["rendererHealth"][k] for k in ("ready", "degradedReason", "updatedAt")}
    return out


def play(r, count=3, feed="arena"):
    duels = Duels(Game(r, feed, epoch=int(time.time() * 1000)), count, seed=7)
    duels.start()
    duels.finish()


@pytest.fixture(scope="module")
def ringside():
    with Ringside(f"--bet-sync-token={TOKEN}", "--feeds-scheduled=", "--feeds-source-driven=arena",
                  "--http-sse-keepalive=500ms", "--bet-sync-clients=100", "--bet-sync-clients-per-address=100", *MANY,
                  workers=2, bridge=1) as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        play(r)
        yield r


def get_state(r, query="", headers=BEARER, path=STATE):
    status, got, body = r.request("GET", path + query, headers=headers)
    return status, got, body.decode()


class Listening(EventSource):
    def __init__(self, r, query="", last_id=None, token=TOKEN, **options):
        super().__init__(r, query, last_id, path=EVENTS, headers={"authorization": f"Bearer {token}"}, **options)


def seqs(source, name="betting"):
    return [json.loads(m)["seq"] for m in source.messages(name)]


# ---- the wire ----

def test_version_1_byte_by_byte(ringside):
    frames = frames_of(ringside)
    source = Listening(ringside, "since=1")
    wait_for(lambda: len(source.messages("betting")) == len(frames) - 1, "the replay")
    assert source.messages("betting") == [text(v1_of(f)) for f in frames[1:]]
    assert [e.last_id for e in source.events if e.name == "betting"] == [str(f["seq"]) for f in frames[1:]]
    source.stop()


def test_version_2_is_the_stream_itself(ringside):
    frames = frames_of(ringside)
    epoch = frames[0]["sourceEpoch"]
    source = Listening(ringside, "schemaVersion=2&since=1")
    wait_for(lambda: len(source.messages("betting")) == len(frames) - 1, "the replay")
    assert source.messages("betting") == [text(f) for f in frames[1:]]
    assert source.last_id == f"{epoch}-{frames[-1]['seq']}"
    source.stop()


def test_a_frame_proves_itself(ringside):
    """As docs/bet-sync.md has it."""
    play(ringside, 5)
    ended = [f for f in frames_of(ringside) if f["outcome"] in ("win", "draw")]
    assert {f["outcome"] for f in ended} == {"win", "draw"}
    for f in ended:
        started = f["fightStartTime"] or f["betOpenTime"]
        damage = {f[agent]["id"]: f[agent]["damageDealtThisFight"] for agent in ("agent1", "agent2")}
        first, second = (f["winnerId"], f["loserId"]) if f["outcome"] == "win" else damage
        said = text({"duelId": f["duelId"], "cycleId": f["cycleId"], "winnerId": f["winnerId"], "loserId": f["loserId"],
                     "winReason": f["winReason"], "fightStartedAt": started, "finishedAt": f["duelEndTime"],
                     "damageWinner": damage[first], "damageLoser": damage[second]})
        assert f["replayHash"] == hashlib.sha256(said.encode()).hexdigest(), said
        seed = hashlib.sha256(f"{f['duelId']}-{started}".encode()).digest()
        assert f["seed"] == str(int.from_bytes(seed[:8], "big"))


def test_first_bytes_and_heartbeat(ringside):
    with ringside.connect() as s:
        s.sendall(f"GET {EVENTS} HTTP/1.0\r\nhost: x\r\nauthorization: BEARER {TOKEN}\r\n\r\n".encode())
        s.settimeout(10)
        got = b""
        while b"event: heartbeat" not in got or not got.endswith(b"\n\n"):
            got += s.recv(65536)
    head, _, body = got.partition(b"\r\n\r\n")
    head = head.decode().lower()
    assert "content-type: text/event-stream; charset=utf-8" in head
    assert "cache-control: no-cache, no-transform" in head and "x-accel-buffering: no" in head
    assert "access-control-allow-origin" not in head and "deprecation" not in head
    latest = frames_of(ringside)[-1]
    assert body.startswith(f"retry: 2000\n\nid: {latest['seq']}\nevent: betting\ndata: {text(v1_of(latest))}\n\n:hb "
                           .encode())
    beat = json.loads(body.split(b"event: heartbeat\ndata: ")[1].split(b"\n")[0])
    assert beat["latestSeq"] == latest["seq"] and beat["sourceEpoch"] == latest["sourceEpoch"]
    assert abs(beat["now"] - time.time() * 1000) < 10000


def test_state(ringside):
    frames = frames_of(ringside)
    status, headers, body = get_state(ringside)
    replay = {"sourceEpoch": frames[0]["sourceEpoch"], "latestSeq": frames[-1]["seq"], "oldestSeq": 1,
              "bufferedFrames": len(frames), "bufferedBytes": sum(len(text(f).encode()) + 1 for f in frames),
              "lastBroadcastSeq": frames[-1]["seq"]}
    assert status == 200 and body == text({**v1_of(frames[-1]), "replay": replay})
    assert headers["cache-control"] == "no-store" and headers["x-server-time"].isdigit()
    status, _, body = get_state(ringside, "?schemaVersion=2")
    body = json.loads(body)
    assert abs(body.pop("now") - time.time() * 1000) < 10000
    assert body == {**frames[-1], "replay": replay}
    assert get_state(ringside, "?schemaVersion=4")[0] == 400
    assert get_state(ringside, "?feed=nowhere")[0] == 503
    assert get_state(ringside, "?feed=../x/frames")[0] == 503


def test_former_names_are_deprecated(ringside):
    now, old = get_state(ringside), get_state(ringside, path=OLD_STATE)
    assert now[2] == old[2] and "deprecation" not in now[1]
    since = int(old[1]["deprecation"].removeprefix("@"))
    until = email.utils.parsedate_to_datetime(old[1]["sunset"])
    assert old[1]["sunset"] == email.utils.format_datetime(until, usegmt=True) and until.timestamp() > since
    assert old[1]["link"] == f'<{STATE}>; rel="successor-version"' and "sunset" not in now[1]
    with ringside.connect() as s:
        s.sendall(f"GET {OLD_EVENTS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\r\n".encode())
        head = s.recv(4096).decode().lower().partition("\r\n\r\n")[0]
    assert f"deprecation: @{since}" in head and "sunset: " in head and f'link: <{EVENTS}>; rel=' in head
    assert "sunset" in get_state(ringside, headers={}, path=OLD_STATE)[1], "who is refused is told, too"
    source = EventSource(ringside, "", path=OLD_EVENTS, headers=BEARER)
    wait_for(lambda: source.messages("betting"), "a frame")
    source.stop()


def test_live_frames_and_both_versions_at_once(ringside):
    one, two = Listening(ringside), Listening(ringside, "schemaVersion=2")
    wait_for(lambda: one.messages("betting") and two.messages("betting"), "both")
    before = len(frames_of(ringside))
    play(ringside, 4)
    frames = frames_of(ringside)[before - 1:]
    for source in (one, two):
        wait_for(lambda: len(source.messages("betting")) == len(frames), "all")
    assert one.messages("betting") == [text(v1_of(f)) for f in frames]
    assert two.messages("betting") == [text(f) for f in frames]
    one.stop()
    two.stop()


# ---- cursors ----

def test_a_client_that_closes_its_side_is_fed_on(ringside):
    with ringside.connect() as s:
        s.settimeout(60)
        s.sendall(f"GET {EVENTS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\r\n".encode())
        read_to(s, b"event: heartbeat")
        s.shutdown(socket.SHUT_WR)
        play(ringside, 1)
        read_to(s, b"event: betting")


def read_to(s, mark):
    got = b""
    while mark not in got:
        more = s.recv(65536)
        assert more, got
        got += more


def outcome(r, query, last_id=None):
    """(mode, numbers) of what comes first."""
    source = Listening(r, query, last_id)
    wait_for(lambda: source.over or source.messages("heartbeat"), "the first silence", 20)
    source.stop()
    if source.over:
        return source.over[0], []
    if source.messages("reset"):
        assert not source.messages("betting")
        return "reset", seqs(source, "reset")
    got = seqs(source)
    return ("live" if not got else "frames"), got


def test_every_boundary_of_a_cursor(ringside):
    latest = frames_of(ringside)[-1]["seq"]
    epoch = frames_of(ringside)[0]["sourceEpoch"]
    rows = [
        ("", ("frames", [latest])), ("since=", ("frames", [latest])), ("since=0", ("frames", [latest])),
        ("since=1", ("frames", list(range(2, latest + 1)))),
        (f"since={latest - 1}", ("frames", [latest])),
        (f"since={latest}", ("live", [])),
        (f"since={latest + 1}", ("reset", [latest])),
        (f"since={latest}&epoch={epoch}", ("live", [])),
        (f"since={latest}&epoch={epoch - 1}", ("reset", [latest])),
        (f"since={epoch}-{latest - 2}", ("frames", [latest - 1, latest])),
        (f"since={epoch + 1}-{latest - 2}", ("reset", [latest])),
        (f"schemaVersion=2&since={epoch - 5}-0", ("reset", [latest])),
        ("since=12abc", (400, [])), ("since=-1", (400, [])), ("since=1.5", (400, [])),
        ("since=99999999999999999999", (400, [])), (f"since=1&epoch=x", (400, [])),
    ]
    for query, expected in rows:
        assert outcome(ringside, query) == expected, query
    for last_id, expected in ((str(latest), ("live", [])), (str(latest - 1), ("frames", [latest])),
                              (f"{epoch}-{latest - 1}", ("frames", [latest])), ("x", (400, []))):
        assert outcome(ringside, "since=1", last_id) == expected, "Last-Event-ID wins"


def test_a_reset_ends_the_loop(ringside):
    latest = frames_of(ringside)[-1]["seq"]
    source = Listening(ringside, "", str(latest + 100))
    wait_for(lambda: source.messages("reset"), "the reset")
    assert source.last_id == str(latest)
    source.cut()
    wait_for(lambda: source.connects == 2, "the second connection")
    play(ringside, 1)
    wait_for(lambda: source.messages("betting"), "the next frame")
    assert seqs(source)[0] == latest + 1 and len(source.messages("reset")) == 1
    source.stop()


def test_a_reset_reaches_who_skips_blocks_that_begin_with_a_comment(ringside):
    """Known keepers do. So a comment is a block of its own, here and before a heartbeat."""
    latest = frames_of(ringside)[-1]["seq"]
    with ringside.connect() as s:
        s.sendall(f"GET {EVENTS}?since={latest + 100} HTTP/1.0\r\nhost: localhost\r\n"
                  f"authorization: Bearer {TOKEN}\r\n\r\n".encode())
        got = b""
        while b"event: heartbeat" not in got or not got.endswith(b"\n\n"):
            got += s.recv(65536)
    blocks = got.partition(b"\r\n\r\n")[2].decode().split("\n\n")
    assert ":reset ahead" in blocks and any(b.startswith(":hb ") for b in blocks)
    assert all("\n" not in b for b in blocks if b.startswith(":"))
    heard = [b for b in blocks if b and not b.startswith(":")]
    assert heard[1].startswith(f"id: {latest}\nevent: reset\ndata: ") and heard[2].startswith("event: heartbeat\n")


def test_one_unreadable_message_ends_no_reader():
    with Ringside(f"--bet-sync-token={TOKEN}", "--feeds-scheduled=", "--feeds-source-driven=arena", *MANY,
                  "--http-sse-keepalive=500ms", workers=1, bridge=1) as r:
        path = "feeds/arena/frames"
        Game(r).post("cycle", **agents())
        before = frames_of(r)
        r.stop()
        publish = os.path.join(BUILD, "tests/system/publish")
        for text in ('{"type":"wake"}', "[1,2]", '"' + "x" * 100000 + '"'):
            subprocess.run([publish, r.data_dir, str(8 << 20), "/v1/stream/" + path, text], check=True)
        r.start()
        status, _, body = get_state(r, "?schemaVersion=2")  # the newest frame is one, though it is not the newest message
        assert status == 200 and json.loads(body)["seq"] >= before[-1]["seq"]
        assert json.loads(r.request("GET", "/v1/feeds/arena")[2])["seq"] >= before[-1]["seq"]
        source = Listening(r, "schemaVersion=2&since=1")
        plain = EventSource(r, f"stream={path}&from=start")
        wait_for(lambda: len(source.messages("betting")) >= len(before) - 1, "the replay")
        wait_for(lambda: source.messages("heartbeat") and plain.messages("heartbeat"), "the silence after it")
        Game(r, epoch=int(time.time() * 1000)).post("abort", duelId=before[-1]["duelId"], reason="enough")
        wait_for(lambda: any(json.loads(m)["terminal"] for m in source.messages("betting")), "what comes after them")
        got = seqs(source)
        assert got == list(range(2, got[-1] + 1)) and source.connects == 1, got
        assert plain.connects == 1
        r.wait_log("error .*a message of the feed is no frame")
        source.stop()
        plain.stop()


def test_history_that_was_trimmed():
    with Ringside(f"--bet-sync-token={TOKEN}", "--feeds-scheduled=", "--feeds-source-driven=arena", *MANY,
                  "--http-sse-keepalive=500ms", "--store-retention-bytes=100000", "--store-checkpoint=50ms",
                  workers=1, bridge=1) as r:
        g = Game(r)
        g.post("cycle", **agents())
        duel = g.state()["duel"]["duelId"]
        for i in range(60):
            g.post("scene", duelId=duel, scene={"n": i, "fill": "x" * 8000})
        wait_for(lambda: json.loads(get_state(r)[2])["replay"]["oldestSeq"] > 10, "retention", 30)
        time.sleep(0.2)
        replay = json.loads(get_state(r)[2])["replay"]
        oldest, latest = replay["oldestSeq"], replay["latestSeq"]
        assert replay["bufferedFrames"] == latest - oldest + 1 < 60
        assert outcome(r, f"since={oldest - 2}") == ("reset", [latest])
        assert outcome(r, f"since={oldest - 1}") == ("frames", list(range(oldest, latest + 1)))
        assert outcome(r, f"since={oldest}") == ("frames", list(range(oldest + 1, latest + 1)))


def test_a_long_replay_is_whole(ringside):
    """More than any socket buffer takes, and than the former system's cap: paced by what the client reads."""
    g = Game(ringside, epoch=int(time.time() * 1000))
    g.post("cycle", **agents())
    duel = g.state()["duel"]["duelId"]
    first = g.state()["seq"]
    for i in range(40):
        g.post("batch", facts=[{"type": "scene", "duelId": duel, "scene": {"n": [i, k], "fill": "y" * 3000}}
                               for k in range(50)])
    g.post("abort", duelId=duel, reason="enough")
    source = Listening(ringside, f"schemaVersion=2&since={first}")
    wait_for(lambda: len(source.messages("betting")) >= 2002, "all", 60)
    assert seqs(source) == list(range(first + 1, first + 2003))
    source.stop()


# ---- who ----

@pytest.mark.parametrize("header, status", [
    (None, 401), ("", 401), ("Bearer", 401), ("Bearer ", 401), (TOKEN, 401), (f"Basic {TOKEN}", 401),
    (f"Bearer {TOKEN}x", 401), (f"Bearer {TOKEN[:-1]}", 401), (f"Bearer {TOKEN} x", 401), (f"Bearer x {TOKEN}", 401),
    (f"Bearer {TOKEN}", 200), (f"bearer {TOKEN}", 200), (f"BEARER  {TOKEN}", 200),
])
def test_bearer(ringside, header, status):
    for path in (STATE, EVENTS, OLD_STATE, OLD_EVENTS):
        connection = http.client.HTTPConnection(*ringside.address(), timeout=10)
        connection.request("GET", path, headers={} if header is None else {"authorization": header})
        answer = connection.getresponse()
        assert answer.status == status, path
        if status == 401:
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert json.loads(answer.read()) == {"error": "Unauthorized",
                                                 "message": "Missing or invalid betting feed token"}
        connection.close()


def test_a_token_in_the_query_opens_nothing(ringside):
    for name in ("token", "streamToken", "access_token"):
        assert get_state(ringside, f"?{name}={TOKEN}", headers={})[0] == 401


def test_dev_makes_a_token_and_has_no_bypass():
    with Ringside(workers=1, bridge=1) as r:
        path = os.path.join(r.run_dir, "tokens.json")
        assert os.stat(path).st_mode & 0o777 == 0o600
        with open(path) as file:
            token = json.load(file)["betSync"]
        wait_for(lambda: get_state(r, headers={"authorization": f"Bearer {token}"})[0] == 200, "the feed")
        assert get_state(r, headers={})[0] == 401
        assert token not in r.log() and f"token made of=bet-sync for=\"this run\" file={path}" in r.log()


def test_no_token_configured():
    with Ringside("--dev=false", environment={"RINGSIDE_AUTH_PUBLISH_TOKENS": "p"}, workers=1, bridge=1) as r:
        r.wait_log("warn .*bet-sync feed closed.*bet_sync.token")
        status, headers, body = get_state(r, headers={"authorization": "Bearer p"})
        assert status == 503 and json.loads(body)["message"] == "Betting feed auth token is not configured"
        assert int(headers["retry-after"]) > 0
        status, _, body = r.request("GET", "/v1/source/arena", headers={"authorization": "Bearer p"})
        assert status == 503 and b"auth.source_token" in body


def test_rotation_and_expiry():
    expires = int(time.time() * 1000) + 4000
    config = (f"bet_sync:\n  token: new-one\n  token_previous: old-one\n  token_previous_expires: {expires}\n")
    with Ringside(config=config, workers=1, bridge=1) as r:
        wait_for(lambda: get_state(r, headers={"authorization": "Bearer new-one"})[0] == 200, "the feed")
        old, new = Listening(r, token="old-one", retry=0.1), Listening(r, token="new-one")
        wait_for(lambda: old.messages("betting") and new.messages("betting"), "both")
        wait_for(lambda: old.over, "the old token's end", 20)
        assert time.time() * 1000 >= expires
        assert old.over[0] == 401 and old.messages("bye") and not new.over and new.connects == 1
        # Replaced by a reload: whoever listens with the former one is cut.
        r.write_config("bet_sync:\n  token: newest-one\n")
        r.signal(signal.SIGHUP)
        wait_for(lambda: new.over, "the replaced token's end", 20)
        assert new.over[0] == 401
        assert get_state(r, headers={"authorization": "Bearer newest-one"})[0] == 200
        for secret in ("new-one", "old-one", "newest-one"):
            assert secret not in r.log()
        old.stop()
        new.stop()


@pytest.mark.parametrize("config, reason", [
    ("bet_sync: {token_previous: a, token_previous_expires: 5}", "is of no use without bet_sync.token"),
    ("bet_sync: {token: b, token_previous: a}", "go together"),
    ("bet_sync: {token: b, token_previous_expires: 5}", "go together"),
    ("bet_sync: {token: a, token_previous: a, token_previous_expires: 5}", "is the same as bet_sync.token"),
    ("bet_sync: {token: 'a,b'}", "must be one token"), ("bet_sync: {token: 'a b'}", "tokens"),
    ("bet_sync: {allowed_origin: '*'}", "must be one origin"), ("bet_sync: {allowed_origin: 'null'}", "one origin"),
    ("bet_sync: {allowed_origin: 'https://a.example,https://b.example'}", "one origin"),
    ("bet_sync: {allowed_origin: 'https://a.example/'}", "one origin"),
    ("bet_sync: {allowed_origin: 'ftp://a.example'}", "one origin"),
])
def test_bad_configuration_prevents_the_start(config, reason):
    with Ringside(config=config, start=False) as r:
        r.spawn()
        assert r.wait_exit() == 2
        assert reason in r.log()


# ---- how much ----

def test_rate_limits_hold_over_all_workers():
    with Ringside(f"--bet-sync-token={TOKEN}", "--bet-sync-state-rate=20", "--bet-sync-events-rate=5", workers=2,
                  bridge=1) as r:
        got = [get_state(r) for _ in range(30)]  # each by a connection of its own
        assert [g[0] for g in got].count(429) == 10 and all(g[0] == 429 for g in got[20:])
        assert 0 < int(got[-1][1]["retry-after"]) <= 60 and json.loads(got[-1][2])["error"] == "Too many requests"
        assert r.request("GET", EVENTS, headers={})[0] == 401  # its own budget
        statuses = [r.request("GET", EVENTS, headers={})[0] for _ in range(6)]
        assert statuses == [401] * 4 + [429] * 2


def test_clients_are_capped_and_come_back():
    with Ringside(f"--bet-sync-token={TOKEN}", "--bet-sync-clients=4", "--bet-sync-clients-per-address=3", *MANY,
                  "--worker-restart-limit=64", workers=2, bridge=1) as r:
        wait_for(lambda: get_state(r)[0] == 200, "the feed")

        def connect(source):
            s = socket.socket()
            s.bind((source, 0))
            s.settimeout(10)
            s.connect(r.address())
            s.sendall(f"GET {EVENTS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\r\n".encode())
            status = int(s.recv(4096).split()[1])
            if status == 200:
                return s
            s.close()
            return status
        held = [connect("127.0.0.1") for _ in range(3)]
        assert all(isinstance(s, socket.socket) for s in held)
        assert connect("127.0.0.1") == 429
        held.append(connect("127.0.0.2"))
        assert connect("127.0.0.3") == 503
        held.pop().close()
        wait_for(lambda: connect_and_close(connect, "127.0.0.3"), "a place")
        held.pop().close()
        wait_for(lambda: connect_and_close(connect, "127.0.0.1"), "a place of that address")
        for pid in [w["pid"] for w in r.status()["workers"] if w["name"].startswith("sse")]:
            r.kill(pid)
        again = []

        def three_more():
            while len(again) < 3:
                s = connect("127.0.0.1")
                if not isinstance(s, socket.socket):
                    return False
                again.append(s)
            return True
        wait_for(lambda: quietly(three_more), "places that killed workers held")
        for s in held + again:
            s.close()


def quietly(action):
    try:
        return action()
    except (OSError, IndexError):
        return False


def connect_and_close(connect, source):
    s = connect(source)
    if isinstance(s, socket.socket):
        s.close()
        return True
    return False


# ---- other origins ----

def test_one_exact_origin():
    origin = "https://bets.example:8443"
    with Ringside(f"--bet-sync-token={TOKEN}", f"--bet-sync-allowed-origin={origin}", workers=1, bridge=1) as r:
        wait_for(lambda: get_state(r)[0] == 200, "the feed")
        for given, status in ((origin, 200), (None, 200), ("https://bets.example", 403), ("null", 403), ("*", 403),
                              (origin + ".evil.example", 403), ("http://bets.example:8443", 403)):
            got, headers, _ = get_state(r, headers={**BEARER, **({"origin": given} if given else {})})
            assert got == status, given
            assert headers["access-control-allow-origin"] == origin and headers["vary"] == "origin"
            got, headers, _ = r.request("OPTIONS", EVENTS, headers={"origin": given} if given else {})
            assert got == (204 if status == 200 else 403), given
        assert "authorization" in headers.get("access-control-allow-headers", "authorization")


def test_no_origin_by_default(ringside):
    status, headers, _ = get_state(ringside)
    assert status == 200 and "access-control-allow-origin" not in headers
    status, headers, body = get_state(ringside, headers={**BEARER, "origin": "https://a.example"})
    assert status == 403 and "access-control-allow-origin" not in headers and "Forbidden" in body


# ---- a client that we did not write ----

def test_npm_eventsource(ringside):
    """The eventsource package, whose fetch may carry a token."""
    import subprocess
    modules = os.path.join(os.path.dirname(__file__), "node_modules", "eventsource")
    if not os.path.isdir(modules):
        pytest.skip("the eventsource package is not installed: scripts/test full installs it")
    script = """
    import { EventSource } from 'eventsource';
    const [url, token, count] = process.argv.slice(2);
    const source = new EventSource(url, { fetch: (input, init) =>
        fetch(input, { ...init, headers: { ...init.headers, Authorization: `Bearer ${token}` } }) });
    let seen = [];
    source.addEventListener('betting', event => {
        seen.push(`${event.lastEventId}:${JSON.parse(event.data).seq}`);
        if (seen.length == +count) { console.log(seen.join(' ')); source.close(); process.exit(0); }
    });
    setTimeout(() => process.exit(1), 20000);
    """
    latest = frames_of(ringside)[-1]["seq"]
    path = os.path.join(os.path.dirname(__file__), f".bet_sync_{os.getpid()}.mjs")
    with open(path, "w") as file:
        file.write(script)
    try:
        done = subprocess.run(["node", path, f"{ringside.url}{EVENTS}?since={latest - 5}", TOKEN, "5"],
                              capture_output=True, text=True, timeout=40)
    finally:
        os.unlink(path)
    assert done.stdout.split() == [f"{n}:{n}" for n in range(latest - 4, latest + 1)], done.stderr
