"""Data directories of earlier releases (tests/fixtures) open, hold what they held, and go on."""

import glob
import json
import os
import sys
import tarfile

import pytest

from client_python import Server
from duel_game import Game, check_frames, frames_of
from ringside import Ringside, wait_for
from test_market import Bettor, Venue, get, market, wait_state

FIXTURES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fixtures")
sys.path.insert(0, FIXTURES)

from make import COMMON, JSON, TEXT, content, pages, stream  # noqa: E402 pylint: disable=wrong-import-position

OWNED = sorted(path.removesuffix(".tar.xz") for path in glob.glob(f"{FIXTURES}/owned/*.tar.xz"))
RELEASES = sorted(path.removesuffix(".tar.xz") for path in glob.glob(f"{FIXTURES}/*.tar.xz"))


def opened(release, *flags, **options):
    """A Ringside over a fresh copy of that data directory, not yet started."""
    r = Ringside(*COMMON, "--duel-grace=10m", *flags, bridge=1, start=False, **options)
    with tarfile.open(f"{release}.tar.xz") as tar:
        tar.extractall(r.data_dir)
    with open(f"{release}.json", encoding="utf-8") as file:
        return r, json.load(file)


@pytest.fixture(scope="module", params=RELEASES, ids=os.path.basename)
def old(request):
    venue = Venue()
    r, had = opened(request.param, f"--market-webhook-url={venue.url}")
    with r:
        r.start()
        wait_for(lambda: r.request("GET", "/v1/source/open")[0] == 200, "the feeds")
        yield r, had


def account(r, had, number):
    """As test_market's Bettor, of an account that is there."""
    bettor = Bettor.__new__(Bettor)
    bettor.r, bettor.account = r, had["accounts"][number]
    bettor.id, bettor.secret = bettor.account["id"], bettor.account["secret"]
    return bettor


def game(r, had, feed):
    known = had["feeds"][feed]
    g = Game(r, feed, epoch=known["epoch"])
    g.seq = known["seq"]
    return g, known["duel"]


def test_there_is_a_release():
    assert RELEASES


def test_the_store_is_sound(old):
    old[0].ctl("store", "check")


def test_streams_hold_what_they_held(old):
    r, had = old
    for name, was in had["streams"].items():
        if not name.startswith("subs/"):  # others go on writing there
            assert content(r, name) == was, name


def test_expired_streams_go(old):
    r, had = old
    for name in had["expired"]:
        wait_for(lambda name=name: r.request("HEAD", f"/v1/stream/{name}")[0] == 404, f"{name} to go")


def test_streams_go_on(old):
    r, had = old
    stream(r, "POST", "plain/text", b"later\n", TEXT)
    was = had["streams"]["plain/text"]["tail"]
    assert stream(r, "GET", f"plain/text?offset={was}", statuses=(200,))[2] == b"later\n"
    assert r.request("POST", "/v1/stream/plain/closed", b"x", TEXT)[0] == 409
    assert r.request("GET", "/v1/stream/forks/gone?offset=-1")[0] == 410
    stream(r, "POST", "forks/one", b"!", TEXT)
    assert stream(r, "GET", "forks/one?offset=-1", statuses=(200,))[2] == b"abcdef+one!"
    assert stream(r, "GET", "forks/source?offset=-1", statuses=(200,))[2] == b"abcdefghi"


def test_producers_are_known(old):
    r, _ = old

    def say(epoch, seq):
        return r.request("POST", "/v1/stream/producers/p", b"again;", {
            **TEXT, "producer-id": "writer", "producer-epoch": str(epoch), "producer-seq": str(seq)})[0]
    assert say(3, 4) == 204 and say(2, 0) == 403 and say(3, 6) == 409 and say(3, 5) == 200
    assert stream(r, "GET", "producers/p?offset=-1", statuses=(200,))[2] == b"m0;m1;m2;m3;m4;again;"
    assert r.request("POST", "/v1/stream/producers/seq", b"s", {**TEXT, "stream-seq": "0007"})[0] == 409
    assert r.request("POST", "/v1/stream/producers/seq", b"s", {**TEXT, "stream-seq": "0008"})[0] == 204


def test_subscriptions_are_known(old):
    r, had = old

    def get_sub(name):
        return json.loads(stream(r, "GET", f"__ds/subscriptions/{name}")[2])
    hook = {s["path"]: s["acked_offset"] for s in get_sub("hook")["streams"]}
    assert hook == {"subs/hook/1": had["subscriptions"]["hookTail"]}
    # The lease of then has run out, or runs out; a later one is of a later generation.
    lease = had["subscriptions"]["lease"]
    newer = wait_for(lambda: (a := r.request("POST", "/v1/stream/__ds/subscriptions/pull/claim", b'{"worker":"two"}',
                                             JSON))[0] == 200 and json.loads(a[2]), "the work")
    assert newer["generation"] > lease["generation"]
    tail = stream(r, "HEAD", "subs/jobs/1")[1]["stream-next-offset"]
    stream(r, "POST", "__ds/subscriptions/pull/ack", json.dumps(
        {"wake_id": newer["wake_id"], "generation": newer["generation"], "done": True,
         "acks": [{"stream": "subs/jobs/1", "offset": tail}]}).encode(),
        {**JSON, "authorization": f"Bearer {newer['token']}"})


def test_settled_markets_stand(old):
    r, had = old
    for feed in ("settled", "refunded"):
        was, now = had["markets"][feed], market(r, had["feeds"][feed]["duel"])
        for member in ("state", "outcome", "winnerSide", "paid", "operator", "betCloseTime"):
            assert now[member] == was[member], (feed, member)
        bets = get(r, f"/v1/markets/{had['feeds'][feed]['duel']}/bets")["bets"]
        assert [(b["account"], b["amount"], b["paid"]) for b in bets] == \
               [(b["account"], b["amount"], b["paid"]) for b in had["bets"][feed]]
    assert get(r, f"/v1/oracle/{had['feeds']['settled']['duel']}") == had["oracle"]
    assert get(r, "/v1/oracle/keys") == had["keys"]


def test_a_locked_market_is_settled(old):
    r, had = old
    g, duel = game(r, had, "locked")
    assert market(r, duel)["state"] == "locked"
    anna, bert = account(r, had, 0), account(r, had, 1)
    before = anna.balance(), bert.balance()
    status, text = anna.bet(duel, "A", 3000, key="a-locked")
    assert status == 200, text  # its key is known: the same bet, not a second one
    g.post("death", duelId=duel, ids=["beta"])
    done = wait_state(r, duel, "resolved")
    assert done["winnerSide"] == "A" and done["paid"] == 4000
    assert (anna.balance(), bert.balance()) == (before[0] + 4000, before[1])


def test_an_open_market_goes_on(old):
    """Its announcement was for a day: within it bets are taken, then it is locked; it is there until somebody, or the watchdog,
    ends it, and stakes go back."""
    r, had = old
    g, duel = game(r, had, "open")
    bert = account(r, had, 1)
    if market(r, duel)["state"] in ("open", "locked") and g.state()["duel"]:
        g.post("abort", duelId=duel, reason="game_stopped")
    wait_state(r, duel, "cancelled")
    assert [b["paid"] for b in get(r, f"/v1/markets/{duel}/bets")["bets"]] == [3000, 1000, 500]
    assert bert.balance() >= had["accounts"][1]["balance"] + 1000


def test_a_market_in_review_waits_for_a_person(old):
    r, had = old
    known = had["feeds"]["reviewed"]
    was, now = had["markets"]["reviewed"], market(r, known["duel"])
    assert now["state"] == "manual_review" and now["error"] == was["error"] and now["operator"] == "webhook"
    body = json.dumps({"actor": "anna", "reason": "agreed by telephone", "outcome": "cancelled"}).encode()
    assert r.request("POST", f"/v1/markets/{known['duel']}/resolve", body, JSON)[0] == 200
    wait_state(r, known["duel"], "cancelled")


def test_feeds_go_on(old):
    r, had = old
    for feed, frames in had["frames"].items():
        now = frames_of(r, feed)
        check_frames(now)
        assert len(now) >= frames, feed
    assert get(r, "/v1/ledger/sums")["balanced"]


def test_a_new_duel_after_the_old_ones(old):
    r, had = old
    g, duel = game(r, had, "settled")
    if g.state()["duel"]:
        g.post("phase", duelId=duel, phase="IDLE")
    again = g.post("cycle", agent1={"id": "x", "name": "X", "hp": 1, "maxHp": 1},
                   agent2={"id": "y", "name": "Y", "hp": 1, "maxHp": 1})["duelId"]
    wait_state(r, again, "open")
    assert account(r, had, 2).bet(again, "A", 1)[0] in (201, 402)


def test_conversations_go_on(old):
    """The list, every event and message; what was said before is known by its id; an answer goes on where it stood."""
    r, had = old
    was = had.get("conversations")
    if was is None:  # a release before there were any
        assert json.loads(r.request("GET", "/sessions")[2]) == []
        return

    def ask(path, body):
        status, _, answer = r.request("POST", f"/v1/sessions/{path}", json.dumps(body).encode(), JSON)
        return status, json.loads(answer)
    assert json.loads(r.request("GET", "/sessions")[2]) == was["list"]
    for name, held in was["streams"].items():
        assert content(r, name) == held, name
    for name, receipt in was["receipts"].items():
        said = {"content": "Why this move?", "messageId": f"q-{name}", "actorId": "anna"}
        assert ask(f"{name}/messages", said) == (202, receipt)
        assert ask(f"{name}/messages", {**said, "content": "other"})[1]["code"] == "fingerprint_conflict"
    piece = {"actorId": "engine", "role": "assistant", "chunk": {"type": "text", "delta": "more"}}
    status, answer = ask("talking/chunks", {**piece, "messageId": "a-other", "seq": 0})
    # Its time may have run out since: then the next answer begins.
    assert (status, answer.get("code")) == (409, "GENERATION_MISMATCH") or status == 200, answer
    assert ask("kept/chunks", {**piece, "messageId": "a-kept", "seq": 3})[0] == 409  # that answer was finished
    assert ask("forked/messages", {"content": "and here?", "messageId": "q-later", "actorId": "anna"})[0] == 202


def test_what_was_counted_is_known(old):
    r, had = old
    if "standings" not in had:
        return  # a release before it counted
    now = get(r, "/v1/feeds/settled/standings")["standings"]
    assert [s for s in now if s["id"] in {w["id"] for w in had["standings"]}] == had["standings"]
    duels = get(r, "/v1/feeds/settled/duels")["duels"]
    for was in had["duels"]:
        assert [d for d in duels if d["duelId"] == was["duelId"]] == [was]


def test_agents_of_conversations_go_on(old):
    """What was said under a lease is there, the lease has run out, and the next one is later; who waited waits."""
    r, had = old
    was = had.get("agents")
    if was is None:
        return  # a release before there were any

    def ask(method, path, body=None):
        status, _, answer = r.request(method, f"/v1/sessions/{path}", body and json.dumps(body).encode(), JSON)
        return status, json.loads(answer or b"null")
    for name, held in was["streams"].items():
        assert content(r, name) == held, name
    assert ask("GET", "asked/agents") == (200, {"agents": [was["endpoint"]]})
    with Server(r.url).agent("holder", serve=lambda channel: None, accepts=["sessions"]) as agent:
        agent.wait(60)
        given = [ask("POST", "$next/lease", {"agent": "holder", "leaseMs": 60000}) for _ in range(4)]
        given = {answer["sessionId"]: answer for status, answer in given if status == 200}
        assert given["leased"]["epoch"] > was["lease"]["epoch"] and given["leased"]["inbox"] == was["lease"]["inbox"]
        assert given["waiting"]["pending"] is True
        assert ask("POST", "leased/chunks", {**was["piece"], "seq": 1})[0] == 409  # by the lease of before


def test_the_smallest_ring_takes_every_settlement():
    """The bridge begins with all that was due meanwhile, of all feeds in one transaction: money does not wait for a larger log."""
    r, had = opened(f"{FIXTURES}/0.1.0-969650e", "--duel-grace=1s")
    with r:
        r.start()
        wait_state(r, had["feeds"]["locked"]["duel"], "cancelled")
        assert "market not written" not in r.log()


@pytest.mark.browser
@pytest.mark.parametrize("release", RELEASES, ids=os.path.basename)
def test_a_render_session_is_known(release):
    r, had = opened(release, "--capture-workers=1")
    with r:
        r.start()
        session = had["session"]
        # Its lifetime is over since: it is there until capture has looked, and then it is known that it was.
        status, _, body = wait_for(lambda: (a := r.request("GET", f"/stream/{session}"))[0] in (200, 410) and a, "the session")
        if status == 200:
            assert json.loads(body)["metadata"]["initial"] == {"kept": ["since", "then"]}
        assert r.request("DELETE", f"/stream/{session}")[0] in (204, 410)
        assert r.request("GET", f"/stream/{session}")[0] == 410


@pytest.mark.parametrize("release", RELEASES, ids=os.path.basename)
def test_old_data_outlives_a_kill(release):
    """Opened, written to and killed at once, twice: what is taken over is as durable as what is new."""
    r, had = opened(release)
    with r:
        for i in range(2):
            r.start()
            stream(r, "POST", "plain/text", f"{i}\n".encode(), TEXT)
            r.kill_everything()
        r.start()
        r.ctl("store", "check")
        was = had["streams"]["plain/text"]["tail"]
        assert stream(r, "GET", f"plain/text?offset={was}", statuses=(200,))[2] == b"0\n1\n"


# ---- what belongs to whoever has a token ----

def of_its_owner(r, had, owner, token):
    """His session is there for him, and for nobody else."""
    as_him = {"authorization": f"Bearer {token}"}
    session = had["sessions"][owner]
    # Its lifetime is over since: it is there until capture has looked, and then it is known that it was.
    wait_for(lambda: r.request("GET", f"/stream/{session}", headers=as_him)[0] in (200, 410), "the session")
    for other, theirs in had["sessions"].items():
        if other != owner:
            assert r.request("GET", f"/stream/{theirs}", headers=as_him)[0] == 404


@pytest.mark.browser
@pytest.mark.parametrize("release", OWNED, ids=os.path.basename)
def test_sessions_are_still_of_their_tokens(release):
    with open(f"{release}.json", encoding="utf-8") as file:
        tokens = json.load(file)["tokens"]
    r, had = opened(release, "--dev=false", "--capture-workers=1",
                    environment={"RINGSIDE_AUTH_SESSION_TOKENS": ",".join(tokens.values())})
    with r:
        r.start()
        for owner, token in tokens.items():
            of_its_owner(r, had, owner, token)
        # Asked for again by its key, it is the one of before.
        body = {"targetUrl": f"{had['site']}/session.html", "renderOptions": {"resolution": "320x180"},
                "initialData": {"kept": ["since", "then"]}}
        status, _, answer = r.request("POST", "/stream", json.dumps(body).encode(), {
            **JSON, "authorization": f"Bearer {tokens['bob']}", "idempotency-key": had["key"]}, timeout=60)
        assert (status, json.loads(answer)["streamId"]) == (201, had["sessions"]["bob"])
