"""What people ask of a ledger: lists, their own bets and what they brought, top-ups, closing, and all of it as it happens."""

import json
import secrets

import pytest

from bettors import JSON, Bettor, announce, fight, fresh_game, get, market, wait_state
from duel_game import Game, frames_of
from event_source import EventSource
from ringside import Ringside, wait_for

OPERATOR = "the-operators-token-0123456789abcdef"
HOUSE = {**JSON, "authorization": f"Bearer {OPERATOR}"}
WHY = {"actor": "anna", "reason": "because it was promised"}


@pytest.fixture(scope="module")
def ringside():
    with Ringside("--feeds-scheduled=", "--feeds-source-driven=arena", workers=1, bridge=1) as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        yield r


@pytest.fixture
def g(ringside):
    return fresh_game(ringside)


@pytest.fixture(scope="module")
def guarded():
    """Not under dev: who may what counts."""
    with Ringside("--dev=false", f"--auth-ledger-token={OPERATOR}", "--auth-source-token=source-0123456789", "--feeds-scheduled=",
                  "--feeds-source-driven=arena", "--auth-public=read=** bet=accounts", workers=1,
                  bridge=1) as r:
        wait_for(lambda: r.request("GET", "/v1/ledger/sums", headers=HOUSE)[0] == 200, "the ledger")
        yield r


def call(r, method, path, body=None, headers=JSON):
    status, _, text = r.request(method, path, None if body is None else json.dumps(body).encode(), headers)
    return status, json.loads(text) if text[:1] in (b"{", b"[") else text.decode()


def play(r, g, bets, end="alpha"):
    """A duel with these bets, (bettor, side, amount), that ends by the death of one; its id."""
    duel = announce(g)
    wait_state(r, duel, "open")
    for bettor, side, amount in bets:
        assert bettor.bet(duel, side, amount)[0] == 201
    fight(g, duel)
    if end == "draw":
        g.post("result", duelId=duel, outcome="draw")
    else:
        g.post("death", duelId=duel, ids=[end])
    wait_state(r, duel, "cancelled" if end == "draw" else "resolved")
    g.post("phase", duelId=duel, phase="IDLE")
    return duel


def own(bettor, query=""):
    return call(bettor.r, "GET", f"/v1/ledger/accounts/{bettor.id}/bets{query}", headers=bettor.headers())


# ---- pages ----

def test_accounts_page_by_page(ringside):
    made = {Bettor(ringside, name=f"n{i}").id for i in range(7)}
    got, after = [], ""
    while True:
        status, page = call(ringside, "GET", f"/v1/ledger/accounts?limit=3&after={after}")
        assert status == 200 and len(page["accounts"]) <= 3
        got += page["accounts"]
        after = page["next"]
        if after is None:
            break
    ids = [a["id"] for a in got]
    assert ids == sorted(ids) and len(set(ids)) == len(ids) and made <= set(ids)
    assert not any(i.startswith("@") for i in ids) and all("owner" not in a and "secret" not in a for a in got)
    for bad in ("limit=0", "limit=1001", "limit=x", "limit=-1"):
        assert call(ringside, "GET", f"/v1/ledger/accounts?{bad}")[0] == 400, bad
    out, _ = ringside.ctl("ledger", "ls")
    assert all(i in out for i in ids)
    assert json.loads(ringside.ctl("ledger", "show", ids[0])[0])["id"] == ids[0]
    assert json.loads(ringside.ctl("ledger", "sums")[0])["balanced"]


def test_own_bets_and_what_they_brought(ringside, g):
    anna, bert = Bettor(ringside), Bettor(ringside)
    won = play(ringside, g, [(anna, "B", 100), (bert, "A", 300), (anna, "B", 50)])
    drawn = play(ringside, g, [(anna, "A", 7)], end="draw")
    duel = announce(g)
    wait_state(ringside, duel, "open")
    assert anna.bet(duel, "A", 1)[0] == 201
    status, page = own(anna)
    assert status == 200 and page["next"] is None and page["account"] == anna.id
    assert [(b["duelId"], b["ownNumber"], b["amount"], b["paid"], b["net"]) for b in page["bets"]] == [
        (duel, 4, 1, None, None), (drawn, 3, 7, 7, 0), (won, 2, 50, 150, 100), (won, 1, 100, 300, 200)]
    results = [b["result"] for b in page["bets"]]
    assert results[0]["state"] == "open" and results[0]["outcome"] is None
    assert (results[1]["outcome"], results[1]["payout"], results[1]["pools"]) == ("draw", "refunded", {"A": 7, "B": 0})
    assert (results[2]["winnerSide"], results[2]["payout"], results[2]["pools"]) == ("B", "paid", {"A": 300, "B": 150})
    first = own(anna, "?limit=3")[1]
    rest = own(anna, f"?limit=3&before={first['next']}")[1]
    assert [b["ownNumber"] for b in first["bets"] + rest["bets"]] == [4, 3, 2, 1] and rest["next"] is None
    assert own(anna, "?before=x")[0] == 400 and own(anna, "?before=1")[1]["bets"] == []
    assert "resolved" in ringside.ctl("ledger", "bets", anna.id)[0]
    audit = [m for m in frames_of(ringside, stream="audit") if m["duelId"] == won][-1]
    assert audit["pools"] == {"A": 300, "B": 150} and audit["pool"] == 450


def test_rows_of_settled_bets_go_and_totals_stay():
    with Ringside("--feeds-scheduled=", "--feeds-source-driven=arena", "--market-keep=1s", workers=1, bridge=1) as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        g, anna = Game(r), Bettor(r)
        play(r, g, [(anna, "A", 10), (anna, "B", 20)])
        announce(g)  # a feed's newest duel stays
        wait_for(lambda: own(anna)[1]["bets"] == [], "the bets to go")
        account = call(r, "GET", f"/v1/ledger/accounts/{anna.id}", headers=anna.headers())[1]
        assert (account["bets"], account["staked"], account["returned"]) == (2, 30, 30)
        assert get(r, "/v1/ledger/sums")["balanced"]


# ---- who may ----

def test_who_may_what(guarded):
    anna = Bettor.__new__(Bettor)
    anna.r, anna.account = guarded, call(guarded, "POST", "/v1/ledger/accounts", {}, JSON)[1]
    anna.id, anna.secret = anna.account["id"], anna.account["secret"]
    path, stranger = f"/v1/ledger/accounts/{anna.id}", {**JSON, "authorization": "Bearer somebody-elses"}
    for what, body in (("", None), ("/bets", None), ("/close", {}), ("/name", {"displayName": "x"})):
        method = "POST" if body is not None else "GET"
        assert call(guarded, method, path + what, body, JSON)[0] == 401, what
        assert call(guarded, method, path + what, body, stranger)[0] in (401, 403), what
    assert guarded.request("GET", path + "/events", headers=stranger)[0] in (401, 403)
    assert guarded.request("GET", "/v1/ledger/events", headers=anna.headers())[0] in (401, 403)
    for nobody in (JSON, anna.headers()):
        assert call(guarded, "GET", "/v1/ledger/accounts", None, nobody)[0] in (401, 403)
        assert call(guarded, "POST", path + "/top-up", {"amount": 1, **WHY}, nobody)[0] in (401, 403)
    assert own(anna)[0] == 200 and call(guarded, "GET", "/v1/ledger/accounts", None, HOUSE)[0] == 200
    assert call(guarded, "GET", path + "x/bets", None, HOUSE)[0] == 404
    assert call(guarded, "GET", path + "/nothing", None, HOUSE)[0] == 404
    # What is told of accounts is nobody's to read as a stream.
    assert guarded.request("GET", "/v1/stream/../ledger/changes", headers=HOUSE)[0] != 200
    assert guarded.request("GET", "/v1/events?stream=/v1/ledger/changes")[0] == 400


# ---- top-ups ----

def test_a_top_up_has_a_reason_and_counts_once(ringside):
    anna = Bettor(ringside, grant=5)
    path = f"/v1/ledger/accounts/{anna.id}/top-up"
    body = {"amount": 95, **WHY}
    for _ in range(3):
        status, account = call(ringside, "POST", path, body, {**JSON, "idempotency-key": "k"})
        assert status == 200 and (account["balance"], account["toppedUp"], account["granted"]) == (100, 95, 5)
    assert call(ringside, "POST", path, {**body, "amount": 1}, {**JSON, "idempotency-key": "k"})[0] == 422
    assert account["topUps"][0]["actor"] == "anna" and account["topUps"][0]["reason"] == WHY["reason"]
    assert "keyHash" not in account["topUps"][0]
    for bad, expected in (({"amount": 0, **WHY}, 422), ({"amount": 1}, 400), ({"amount": 1, "actor": "a", "reason": "short"}, 422),
                          ({"amount": 1.5, **WHY}, 400), ({"amount": 10 ** 15, **WHY}, 422), ({"amount": 1, "x": 1, **WHY}, 400)):
        assert call(ringside, "POST", path, bad)[0] == expected, bad
    assert call(ringside, "POST", "/v1/ledger/accounts/acc_none/top-up", body)[0] == 404
    assert call(ringside, "POST", "/v1/ledger/accounts/@issue/top-up", body)[0] == 404
    out, _ = ringside.ctl("ledger", "top-up", anna.id, "11", "a prize for the best comment")
    assert "has 111" in out and anna.balance() == 111
    ringside.ctl("ledger", "top-up", anna.id, "x", "a prize for the best comment", code=2)
    assert get(ringside, "/v1/ledger/sums")["balanced"]


# ---- an Idempotency-Key for opening ----

def test_an_account_is_opened_once(ringside, guarded):
    for r, headers in ((ringside, JSON), (guarded, HOUSE)):
        key = {**headers, "idempotency-key": secrets.token_hex(16)}
        status, first = call(r, "POST", "/v1/ledger/accounts", {"name": "Anna", "grant": 9}, key)
        assert status == 201
        r.kill(r.worker("bridge-0")["pid"])
        wait_for(lambda: call(r, "GET", "/v1/ledger/sums", None, headers)[0] == 200, "another bridge")
        status, again = call(r, "POST", "/v1/ledger/accounts", {"name": "Anna", "grant": 9}, key)
        assert status == 200 and again == first and len(first["secret"]) == 48
        assert call(r, "POST", "/v1/ledger/accounts", {"name": "Bert", "grant": 9}, key)[0] == 422
        other = call(r, "POST", "/v1/ledger/accounts", {"name": "Anna", "grant": 9}, {**headers, "idempotency-key": "other"})
        assert other[0] in (200, 201) and other[1]["id"] != first["id"]
        mine = {**JSON, "authorization": f"Bearer {first['secret']}"}
        assert call(r, "GET", f"/v1/ledger/accounts/{first['id']}", None, mine)[1]["balance"] == 9
    # Of whoever is nobody, the key is as good as the secret.
    assert call(guarded, "POST", "/v1/ledger/accounts", {}, {**JSON, "idempotency-key": "1"})[0] == 422
    guest = {**JSON, "idempotency-key": secrets.token_hex(16)}
    status, first = call(guarded, "POST", "/v1/ledger/accounts", {}, guest)
    assert status == 201 and call(guarded, "POST", "/v1/ledger/accounts", {}, guest) == (200, first)
    # Nor does the house's key give a guest the house's account.
    assert call(guarded, "POST", "/v1/ledger/accounts", {}, {**HOUSE, "idempotency-key": guest["idempotency-key"]})[1]["id"] != first["id"]


# ---- closing ----

def test_a_closed_account(ringside, g):
    anna, bert = Bettor(ringside), Bettor(ringside)
    duel = announce(g)
    wait_state(ringside, duel, "open")
    assert anna.bet(duel, "A", 100)[0] == 201 and bert.bet(duel, "B", 50)[0] == 201
    status, account = call(ringside, "POST", f"/v1/ledger/accounts/{anna.id}/close", {}, anna.headers())
    assert status == 200 and account["balance"] == 0 and account["closedAt"] > 0
    assert anna.bet(duel, "A", 1)[0] == 409
    assert call(ringside, "POST", f"/v1/ledger/accounts/{anna.id}/close", {}, anna.headers())[0] == 409
    assert call(ringside, "POST", f"/v1/ledger/accounts/{anna.id}/name", {"displayName": "A"}, anna.headers())[0] == 409
    fight(g, duel)
    g.post("death", duelId=duel, ids=["beta"])
    wait_state(ringside, duel, "resolved")
    assert anna.balance() == 0 and bert.balance() == 99950
    assert own(anna)[1]["bets"][0]["paid"] == 150
    account = call(ringside, "GET", f"/v1/ledger/accounts/{anna.id}", None, anna.headers())[1]
    assert (account["returned"], account["staked"]) == (150, 100)
    assert get(ringside, "/v1/ledger/sums")["balanced"]
    assert "is closed" in ringside.ctl("ledger", "close", bert.id, "it was never used at all")[0]
    ringside.ctl("ledger", "close", bert.id, "it was never used at all", code=1)
    assert "closed" in ringside.ctl("ledger", "ls")[0]


# ---- as it happens ----

def events_of(r, path, headers):
    source = EventSource(r, "", path=path, headers=headers)
    wait_for(lambda: source.over or source.connects, "the events")
    assert source.over is None
    return source


NAMES = ("account", "opened", "bet", "paid", "top_up", "named", "closed")


def told(source):
    return [(e.name, json.loads(e.data)) for e in list(source.events)]


def test_an_account_as_it_happens(ringside, g):
    anna, bert = Bettor(ringside), Bettor(ringside)
    source = events_of(ringside, f"/v1/ledger/accounts/{anna.id}/events", anna.headers())
    everybody = events_of(ringside, "/v1/ledger/events", {})
    play(ringside, g, [(anna, "B", 100), (bert, "A", 40), (bert, "B", 1)])
    call(ringside, "POST", f"/v1/ledger/accounts/{anna.id}/top-up", {"amount": 5, **WHY})
    call(ringside, "POST", f"/v1/ledger/accounts/{anna.id}/name", {"displayName": "Änne"}, anna.headers())
    wait_for(lambda: "named" in [n for n, _ in told(source)], "what was done last")
    got = told(source)
    assert [n for n, _ in got] == ["account", "bet", "paid", "top_up", "named"]
    assert [m["balance"] for _, m in got] == [100000, 99900, 99900 + 139, 100044, 100044]
    assert all(m.get("account", m.get("id")) == anna.id for _, m in got) and "owner" not in got[0][1]
    assert got[1][1]["bet"]["amount"] == 100 and got[2][1]["bet"]["net"] == 39
    assert got[2][1]["result"]["winnerSide"] == "B" and got[2][1]["result"]["pools"] == {"A": 40, "B": 101}
    assert got[3][1]["reason"] == WHY["reason"] and "actor" not in got[3][1]
    # Who was cut goes on where he was, over a kill of whoever serves him.
    ringside.kill(ringside.worker("sse-0")["pid"])
    wait_for(lambda: source.connects >= 2, "the second connection")
    call(ringside, "POST", f"/v1/ledger/accounts/{anna.id}/close", {}, anna.headers())
    wait_for(lambda: len(told(source)) > len(got), "the end")
    assert [n for n, _ in told(source)] == ["account", "bet", "paid", "top_up", "named", "closed"]
    wait_for(lambda: "closed" in [n for n, _ in told(everybody)], "the same for operators")
    ids = {m["account"] for _, m in told(everybody)}
    assert {anna.id, bert.id} <= ids
    source.stop()
    everybody.stop()


def test_a_bad_cursor(ringside):
    anna = Bettor(ringside)
    path = f"/v1/ledger/accounts/{anna.id}/events"
    for bad in ("x", "-1", "now", "9" * 16 + "_" + "9" * 16):
        status = ringside.request("GET", path, headers={**anna.headers(), "last-event-id": bad})[0]
        assert status == 400, bad


def test_bets_as_they_come(ringside, g):
    """With the name that the owner chose, or none; never the account's id."""
    anna, bert = Bettor(ringside, name="not for others"), Bettor(ringside)
    for bad in ("", " a", "acc_1234", "x" * 33, "a\nb", "a\u0085"):
        expected = 200 if bad == "" else 422
        assert call(ringside, "POST", f"/v1/ledger/accounts/{anna.id}/name", {"displayName": bad}, anna.headers())[0] == expected, bad
    for bad in ({}, {"displayName": 1}, {"displayName": "a", "x": 1}):
        assert call(ringside, "POST", f"/v1/ledger/accounts/{anna.id}/name", bad, anna.headers())[0] == 400
    status, account = call(ringside, "POST", f"/v1/ledger/accounts/{anna.id}/name", {"displayName": "Änne 😀"}, anna.headers())
    assert status == 200 and account["displayName"] == "Änne 😀"
    duel = play(ringside, g, [(anna, "B", 100), (bert, "A", 40)])
    bets = [m for m in frames_of(ringside, stream="bets") if m["duelId"] == duel]
    assert [(b["number"], b["side"], b["amount"], b["name"]) for b in bets] == [(1, "B", 100, "Änne 😀"), (2, "A", 40, None)]
    raw = ringside.request("GET", "/v1/stream/feeds/arena/bets?offset=-1")[2].decode()
    assert "acc_" not in raw and "not for others" not in raw
    call(ringside, "POST", f"/v1/ledger/accounts/{anna.id}/name", {"displayName": None}, anna.headers())
    duel = play(ringside, g, [(anna, "B", 1)])
    assert [m["name"] for m in frames_of(ringside, stream="bets") if m["duelId"] == duel] == [None]


def test_odds_over_time(ringside, g):
    anna = Bettor(ringside)
    duel = play(ringside, g, [(anna, "A", 10), (anna, "B", 30)])
    odds = [m for m in frames_of(ringside, stream="odds") if m["duelId"] == duel]
    pools = [m["pools"] for m in odds]
    assert {"A": 10, "B": 0} in pools and pools[-1] == {"A": 10, "B": 30}
    assert odds[-1]["state"] == "resolved" and market(ringside, duel)["poolA"] == 10
