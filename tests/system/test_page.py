"""The page and the arena page in a real browser: a whole duel from its announcement to the payout, while workers are
killed, the arena page is frozen, and all of Ringside goes away. Pictures are kept in ARTEFACTS."""

import json
import os
import signal
import sys
import time

import pytest

from browsers import family, kind
from duel_game import Game, check_frames, frames_of
from event_source import EventSource
from page_browser import BROWSER, Browser
from ringside import Ringside, wait_for
from test_duel import Duel
from test_kill import fixed_port
from test_market import JSON, Bettor, Venue, announce, fight, wait_state, webhook_ringside

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ARTEFACTS = os.environ.get("ARTEFACTS", os.path.join(ROOT, ".cache/test/page"))
TIMES = ("--duel-announcement=15s", "--duel-countdown=500ms", "--duel-resolution=6s", "--duel-pause=100ms",
         "--duel-grace=2s")
# stockfish, but as long as a file is there it keeps its moves to itself from the 16th ply on: the fight lasts
# until all has been seen, however slow the machine, and frames come while things are killed.
PATIENT = """import os, subprocess, sys, threading, time
os.environ["PATH"] += ":/usr/games"
engine = subprocess.Popen(["stockfish"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
plies = 0
def listen():
    global plies
    for line in sys.stdin:
        if line.startswith("position"):
            plies = len(line.partition(" moves ")[2].split())
        engine.stdin.write(line)
    engine.kill()
threading.Thread(target=listen, daemon=True).start()
for line in engine.stdout:
    while line.startswith("bestmove") and plies >= 16 and os.path.exists(sys.argv[1]):
        time.sleep(0.05)
    print(line, end="", flush=True)
"""
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not os.path.exists(BROWSER), reason="no browser")]


@pytest.fixture
def stage():
    """Ringside with a capture worker that renders the arena."""
    port = fixed_port()
    with Ringside(*TIMES, f"--listen=127.0.0.1:{port}", "--capture-workers=1", "--capture-allow-private=127.0.0.1",
                  f"--capture-url=http://127.0.0.1:{port}/arena/arena", "--sessions-per-principal=4",
                  "--capture-width=640", "--capture-height=360", workers=2, bridge=1) as r:
        yield r


def keep(browser, name, whole=True):
    browser.picture(os.path.join(ARTEFACTS, name + ".png"), whole)


def state(browser, name):
    return browser.run(f"document.documentElement.dataset.{name}")


def newest(r):
    return json.loads(r.get("/v1/feeds/arena"))


def phase(browser, name, patience=120):
    browser.wait(f"document.documentElement.dataset.phase === '{name}'", f"phase {name}", patience)


def bet(browser, side, amount):
    browser.wait("!document.querySelector('#bet-fields').disabled", "a market that takes bets")
    browser.click(f"#pick .{side.lower()} .box")
    browser.run(f"""document.querySelector('#amount').value = '{amount}';
        document.querySelector('#amount').dispatchEvent(new Event('input', {{ bubbles: true }}))""")
    browser.wait("!document.querySelector('#place').disabled", "a bet that can be placed")
    browser.click("#place")
    browser.wait(f"document.querySelector('#bet-note').textContent.startsWith('Placed: {amount:,} ')", "the bet")


def check_bets_shown(browser, *amounts):
    """What this viewer has on each side, and nothing in the market's card that is cut off by its edge."""
    cut = browser.run("""[...document.querySelectorAll(".market *:not(.hidden, #mine-sum)")].filter(e => e.clientWidth > 1 &&
        e.scrollWidth > e.clientWidth).map(e => e.id || e.className || e.nodeName)""")
    assert cut == [], cut
    for side, amount in zip("ab", amounts):
        assert browser.run(f"document.querySelector('#mine-{side}').textContent") == f"{amount} of it yours"


def freeze_arena(r):
    """Stops the renderer of the feed's own page, as a hung machine would."""
    shown = json.loads(r.ctl("capture", "show")[0])
    renderers = [pid for pid in family(shown["keeper"]) if kind(pid) == "renderer"]
    assert renderers
    for pid in renderers:
        os.kill(pid, signal.SIGSTOP)
    return renderers


def test_a_whole_duel_seen_in_a_browser(stage, tmp_path):
    r = stage
    hold, patient = tmp_path / "hold", tmp_path / "patient.py"
    hold.touch()
    patient.write_text(PATIENT)
    engine = f"--engine1={sys.executable} {patient} {hold},id=stockfish,name=Stockfish,resign=1500"
    wait_for(lambda: r.request("GET", "/v1/feeds/arena")[0] == 200, "the feed")
    events = EventSource(r, "stream=feeds/arena/frames&from=start")
    with Browser() as browser:
        browser.open(r.url + "/")
        browser.wait("document.querySelector('#live').textContent === 'Live'", "live")
        browser.run("window.sameDocument = true")
        with Duel(r, "--pace=120ms", "--movetime=20ms", "--clock=10m", "--games=1", engine) as duel:
            phase(browser, "ANNOUNCEMENT")
            bet(browser, "A", 300)
            bet(browser, "B", 100)
            browser.wait("document.querySelector('#odds-a').textContent === '100 pays133'", "odds")
            browser.wait("document.querySelector('#balance').textContent === '99,600'", "the balance")
            check_bets_shown(browser, 300, 100)
            keep(browser, "announcement")
            phase(browser, "FIGHTING")
            browser.run("document.querySelector('.screen').scrollIntoView({ block: 'center' })")
            browser.wait("document.querySelector('#bet-fields').disabled", "no more bets")
            browser.wait("document.querySelector('#market-state').textContent === 'Bets closed'", "the lock")
            browser.wait("document.querySelector('#health').textContent === 'Vouched for'", "a healthy picture")
            keep(browser, "fight")
            os.kill(r.worker("sse-0")["pid"], signal.SIGKILL)
            os.kill(r.worker("sse-1")["pid"], signal.SIGKILL)
            os.kill(r.worker("bridge-0")["pid"], signal.SIGKILL)
            browser.wait("document.querySelector('#live').textContent === 'Live'", "live again")
            freeze_arena(r)
            browser.wait("document.querySelector('#health').textContent === 'Not vouched for'", "the frozen picture")
            keep(browser, "frozen")
            browser.wait("document.querySelector('#health-note').textContent.startsWith('The renderer shows this duel.')", "the recovery", 120)
            hold.unlink()
            phase(browser, "RESOLUTION", 240)
            keep(browser, "result")
            duel.finish()
        browser.wait("['Paid', 'Stakes back'].includes(document.querySelector('#market-state').textContent)", "the payout")
        end = frames_of(r, stream="results")[-1]
        # 400 staked, all of it ours: whoever wins, and whatever is cancelled, it comes back.
        browser.wait("document.querySelector('#balance').textContent === '100,000'", "the balance")
        assert end["outcome"] in ("win", "draw")
        keep(browser, "payout")
        wait_for(lambda: state(browser, "seq") == str(newest(r)["seq"]), "the newest frame")
        assert state(browser, "gaps") == "0"
        assert browser.run("window.sameDocument") is True
        assert browser.errors == []
        moved, most = browser.shift()
        assert moved < 0.01, most  # a whole duel long, workers killed and all
        frames = frames_of(r)
        check_frames(frames)
        wait_for(lambda: len(events.messages()) >= len(frames), "the EventSource")
        assert [json.loads(text)["seq"] for text in events.messages()] == [f["seq"] for f in frames]
        assert any(not f["rendererHealth"]["ready"] for f in frames if f["phase"] == "FIGHTING")
    events.stopping = True


def test_the_page_never_says_live_when_it_is_not(stage):
    r = stage
    with Browser() as browser:
        browser.open(r.url + "/", 390, 844, scheme="dark", phone=True)
        browser.wait("document.querySelector('#live').textContent === 'Live'", "live")
        browser.run("window.sameDocument = true")
        r.process.kill()
        r.wait_exit()
        browser.wait("document.querySelector('#live').textContent.startsWith('Not live')", "an honest page")
        assert browser.run("document.querySelector('#bet-fields').disabled")
        assert browser.text("#health") in ("Not known", "–")
        keep(browser, "away-phone")
        r.start()
        browser.wait("document.querySelector('#live').textContent === 'Live'", "live again")
        wait_for(lambda: state(browser, "seq") == str(newest(r)["seq"]), "the newest frame")
        assert browser.run("window.sameDocument") is True
        assert browser.run("document.documentElement.scrollWidth") <= 390
        assert browser.errors == []


def focused(browser):
    """Id or class of what has the keyboard, and whether that can be seen."""
    return browser.run("""(() => {
        const e = document.activeElement, ring = e.closest("label") ?? e;
        const seen = [e, ring, ring.querySelector("span") ?? ring].some(x => {
            const s = getComputedStyle(x);
            return (s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0) || s.boxShadow !== "none";
        });
        return [e.id || e.name || e.className || e.nodeName, seen];
    })()""")


def test_by_keyboard_alone(stage):
    """To the bet by the skip link, a side by an arrow, a stake by digits, placed by Enter; and on through the page."""
    with Browser() as browser, Duel(stage, "--pace=120ms", "--movetime=20ms", "--games=1"):
        browser.open(stage.url + "/")
        browser.wait("!document.querySelector('#bet-fields').disabled", "a market that takes bets")
        browser.press("Tab")
        assert focused(browser) == ["skip", True]
        browser.press("Enter", "\r")
        browser.press("Tab")
        assert focused(browser) == ["side", True]
        browser.press("ArrowRight")
        assert browser.run("document.querySelector('input[value=B]').checked")
        for _ in range(5):  # past the quick stakes
            browser.press("Tab")
        assert focused(browser) == ["amount", True]
        browser.run("document.querySelector('#amount').select()")
        for digit in "250":
            browser.press(digit, digit)
        browser.press("Enter", "\r")
        browser.wait("document.querySelector('#bet-note').textContent.startsWith('Placed: 250 ')", "the bet")
        browser.wait("!document.querySelector('#place').disabled", "the slip again")
        reached = []
        for _ in range(30):
            browser.press("Tab")
            reached.append(focused(browser))
        names = [name for name, _ in reached]
        assert {"place", "history-open", "moves", "past", "share", "theme"} <= set(names), " ".join(names)
        assert all(seen for name, seen in reached if name not in ("BODY",)), reached
        assert browser.errors == []


def test_a_token_in_the_fragment_opens_the_page_and_is_not_kept_in_the_address():
    tokens = {"RINGSIDE_AUTH_SUBSCRIBE_TOKENS": "viewer"}
    with Ringside("--dev=false", environment=tokens, workers=1, bridge=1) as r, Browser() as browser:
        browser.open(r.url + "/")
        browser.wait("document.querySelector('#live').textContent === 'Logged out'", "the refusal")
        browser.open(r.url + "/#token=viewer")
        browser.wait("document.querySelector('#live').textContent === 'Live'", "live")
        assert browser.run("location.href") == r.url + "/"


def log_in(browser, token):
    browser.wait("document.querySelector('#log-in').checkVisibility()", "the way in")
    browser.run("document.querySelector('#log-in').click()")
    browser.run(f"""document.querySelector('#login-token').value = {json.dumps(token)};
        document.querySelector('#login-form').requestSubmit()""")


def test_a_visitor_logs_in_and_out(strict):
    """By a cookie that no script sees; nothing of the token stays in the page."""
    with Browser() as browser:
        browser.open(strict.url + "/")
        browser.wait("document.querySelector('#live').textContent === 'Logged out'", "the refusal")
        log_in(browser, "nobody's")
        browser.wait("document.querySelector('#login-note').textContent === 'This token is not known here, or no longer.'",
                     "the refusal")
        keep(browser, "login-refused")
        browser.run("document.querySelector('#login-cancel').click()")
        assert browser.run("document.querySelector('#verdict-login').checkVisibility({ visibilityProperty: true })")
        for token, words in (("nobody's", "This token is not known here, or no longer."), ("viewer", "")):  # at the ring itself
            browser.run(f"""document.querySelector('#gate-token').value = {json.dumps(token)};
                document.querySelector('#gate-form').requestSubmit()""")
            browser.wait(f"!document.querySelector('#gate-note') || document.querySelector('#gate-note').textContent === {json.dumps(words)}", words)
        browser.wait("document.querySelector('#live').textContent === 'Live'", "live")
        browser.wait("document.querySelector('#log-out').checkVisibility()", "the way out")
        assert browser.run("document.querySelector('#log-in').checkVisibility()") is False
        assert browser.run("JSON.stringify([document.cookie, {...sessionStorage}, {...localStorage}])").count("viewer") == 0
        keep(browser, "logged-in")
        browser.call("Page.reload")
        browser.wait("document.querySelector('#live').textContent === 'Live'", "live again")
        browser.run("document.querySelector('#log-out').click()")
        browser.wait("document.querySelector('#live').textContent === 'Logged out'", "the way out")
        assert browser.errors == []


def test_a_page_for_everybody_needs_no_token():
    """auth.public says what whoever has none may do; the page offers that, and the way in for more."""
    tokens = {"RINGSIDE_AUTH_SOURCE_TOKEN": "the-game-s-token", "RINGSIDE_AUTH_LEDGER_TOKEN": "the-house-s-token"}
    public = "read=/v1/feeds/arena,feeds/arena/spectator,feeds/arena/odds,/v1/markets,/v1/markets/** bet=accounts"
    with Ringside("--dev=false", "--feeds-scheduled=", "--feeds-source-driven=arena", f"--auth-public={public}",
                  environment=tokens, workers=1, bridge=1) as r, Browser() as browser:
        wait_for(lambda: r.request("GET", "/v1/source/arena",
                                   headers={"authorization": "Bearer the-game-s-token"})[0] == 200, "the feed")
        browser.open(r.url + "/")
        browser.wait("document.querySelector('#live').textContent === 'Live'", "live")
        announce(Game(r, token="the-game-s-token"))
        browser.wait("document.querySelector('#market-state').textContent === 'Bets open'", "the market")
        bet(browser, "A", 300)
        browser.wait("document.querySelector('#balance').textContent === '99,700'", "the balance")
        assert browser.run("document.querySelector('#ops-link').checkVisibility()") is False
        assert browser.run("document.querySelector('#log-in').checkVisibility()") is True
        keep(browser, "public")
        assert browser.errors == []


SAID = "['title', 'text'].map(part => document.querySelector('#verdict-' + part).textContent).join('|')"


def say_nothing_else(browser, selector, value, while_):
    """Once `value` is said there, nothing else is, until `while_` has happened twice more."""
    browser.wait(f"document.querySelector({json.dumps(selector)}).textContent === {json.dumps(value)}", value)
    browser.run(f"""window.alsoSaid = [];
        new MutationObserver(() => window.alsoSaid.push(document.querySelector({json.dumps(selector)}).textContent))
            .observe(document.querySelector({json.dumps(selector)}), {{ childList: true, subtree: true, characterData: true }});
        window.countWhile = () => {while_};
        window.countBefore = window.countWhile()""")
    browser.wait("window.countWhile() >= window.countBefore + 2", while_)
    assert [also for also in browser.run("window.alsoSaid") if also != value] == []


EVENTS_ASKED = "Math.floor(performance.now() / 4000)"  # at the latest so often
PICTURES_ASKED = "performance.getEntriesByType('resource').filter(e => e.name.endsWith('/stream')).length"


@pytest.fixture(scope="module")
def hall():
    """Duels made by hand, by Game; everybody may open an account."""
    with Ringside("--feeds-scheduled=", "--feeds-source-driven=arena", workers=1, bridge=1) as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        yield r


# What is bet on the page and by somebody else, how it ends, what is said of it, and what the market's state is called.
ENDS = {
    "nobody_backed_the_winner": ([("A", 250)], [], "beta", "Your 250 came back|Nobody had backed Beta.", "Stakes back"),
    "nobody_backed_the_winner_but_others_bet_too": (
        [("B", 250)], [("B", 1000)], "alpha", "Your 250 came back|Nobody had backed Alpha \"α\".", "Stakes back"),
    "both_sides_and_won": ([("A", 100), ("B", 150)], [("A", 100)], "beta",
                           "You won 100 net|You staked 250 on both sides and were paid 350.", "Paid"),
    "both_sides_and_lost": ([("A", 100), ("B", 150)], [("A", 100)], "alpha",
                            "You lost 75|You staked 250 on both sides and were paid 175.", "Paid"),
    "both_sides_alone": ([("A", 300), ("B", 100)], [], "beta",
                         "Neither won nor lost|You staked 400 on both sides and were paid 400.", "Paid"),
    "lost": ([("A", 250)], [("B", 1000)], "beta", "You lost 250|Beta won.", "Paid"),
    "nobody_against": ([("A", 250)], [], "alpha", "Your 250 came back|Alpha \"α\" won, but nobody had bet against.",
                       "Paid"),
    "draw": ([("A", 250)], [("B", 1000)], "draw", "Your 250 came back|It was a draw.", "Stakes back"),
    "cancelled": ([("A", 250)], [("B", 1000)], "abort", "Your 250 came back|The duel was cancelled.", "Stakes back"),
    "won": ([("A", 250)], [("B", 1000)], "alpha", "You won 1,000 net|You staked 250 and were paid 1,250.", "Paid"),
}


def end_duel(g, duel, end):
    if end == "draw":
        g.post("result", duelId=duel, outcome="draw", detail="stalemate")
    elif end == "abort":
        g.post("abort", duelId=duel, reason="game_stopped")
    else:
        g.post("death", duelId=duel, ids=["beta" if end == "alpha" else "alpha"])


@pytest.fixture(scope="module")
def seat(hall):
    """Somebody who looks at them for the whole evening."""
    with Browser() as browser:
        browser.open(hall.url + "/")
        browser.wait("document.querySelector('#live').textContent === 'Live'", "live")
        yield browser


@pytest.fixture
def g(hall):
    game = Game(hall, epoch=int(time.time() * 1000))
    before = game.state()["duel"]
    if before and not before["outcome"]:
        game.post("abort", duelId=before["duelId"], reason="game_stopped")
    elif before:
        game.post("phase", duelId=before["duelId"], phase="IDLE")
    return game


def test_on_a_phone(hall, g):
    """Nothing is wider than the screen, what is touched is large enough, and nothing jumps, in each phase."""
    with Browser() as browser:
        browser.open(hall.url + "/", 360, 740, scheme="dark", phone=True)
        browser.wait("document.querySelector('#live').textContent === 'Live'", "live")
        duel = announce(g)
        for name in ("ANNOUNCEMENT", "COUNTDOWN", "FIGHTING", "RESOLUTION"):
            if name == "COUNTDOWN":
                g.post("positions", duelId=duel, agent1=[0, 0, 0], agent2=[1, 0, 0])
            if name == "RESOLUTION":
                g.post("damage", duelId=duel, attackerId="alpha", amount=12, targetHp=68)
                g.post("death", duelId=duel, ids=["beta"])
            elif name != "ANNOUNCEMENT":
                g.post("phase", duelId=duel, phase=name)
            phase(browser, name)
            if name == "ANNOUNCEMENT":
                bet(browser, "A", 12345)
                bet(browser, "B", 54321)
                browser.wait("document.querySelector('#balance').textContent === '33,334'", "the balance")
                check_bets_shown(browser, "12,345", "54,321")
            assert browser.run("document.documentElement.scrollWidth") <= 360, name
            small = browser.run("""[...document.querySelectorAll("button, #pick label, input:not([type=radio])")].filter(e => {
                const box = e.getBoundingClientRect();
                return box.width > 0 && (box.width < 40 || box.height < 40);
            }).map(e => e.id || e.className || e.nodeName)""")
            assert small == [], (name, small)
            keep(browser, f"phone-{name.lower()}", whole=False)
        browser.wait(f"{SAID}.startsWith('Neither won nor lost')", "what became of the bets")
        moved, most = browser.shift()
        assert moved < 0.01, most
        assert browser.errors == []


@pytest.mark.parametrize("case", ENDS)
def test_what_became_of_bets_is_said_as_it_was(hall, seat, g, case):
    ours, others, end, words, market_state = ENDS[case]
    other, duel = Bettor(hall), announce(g)
    wait_state(hall, duel, "open")
    seat.wait(f"document.documentElement.dataset.duel === '{duel}'", "the duel")
    for side, amount in others:
        assert other.bet(duel, side, amount)[0] == 201
    for side, amount in ours:
        bet(seat, side, amount)
    fight(g, duel)
    end_duel(g, duel, end)
    seat.wait(f"{SAID} === {json.dumps(words)}", words)
    seat.wait(f"document.querySelector('#market-state').textContent === '{market_state}'", market_state)
    keep(seat, "bets-" + case)
    if end != "abort":  # else there is no duel any more
        seat.call("Page.reload")  # what became of them, and what was staked, is still known
        seat.wait(f"{SAID} === {json.dumps(words)}", "the same again")
        staked = {side: sum(amount for its, amount in ours + others if its == side) for side in "AB"}
        seat.wait(f"document.querySelector('#pool-total').textContent === 'of {sum(staked.values()):,} staked'", "the pools")
        for side in "AB":
            mine = sum(amount for its, amount in ours if its == side)
            seat.wait(f"document.querySelector('#mine-{side.lower()}').textContent === "
                      f"'{f'{mine:,} of it yours' if mine else f'{staked[side]:,} staked' if staked[side] else ''}'", side)
    assert seat.errors == []


@pytest.fixture
def strict():
    """As for everybody: a token for each thing."""
    tokens = {"RINGSIDE_AUTH_SUBSCRIBE_TOKENS": "viewer", "RINGSIDE_AUTH_SOURCE_TOKEN": "game",
              "RINGSIDE_AUTH_LEDGER_TOKEN": "house"}
    with Ringside("--dev=false", "--feeds-scheduled=", "--feeds-source-driven=arena", environment=tokens, workers=1,
                  bridge=1) as r:
        wait_for(lambda: r.request("GET", "/v1/source/arena", headers={"authorization": "Bearer game"})[0] == 200, "the feed")
        yield r


def not_offered(browser, words):
    browser.wait(f"document.querySelector('#verdict-text').textContent === {json.dumps(words)}", words)
    assert browser.run("""[...document.querySelectorAll("#pick input, #bet-fields :is(input, button)")].every(e => e.matches(":disabled"))
        && !document.querySelector("#place").checkVisibility({ visibilityProperty: true })""")


def test_bets_are_not_offered_to_who_cannot_open_an_account(strict):
    r = strict
    with Browser() as browser:
        browser.open(r.url + "/#token=viewer")
        browser.wait("document.querySelector('#live').textContent === 'Live'", "live")
        announce(Game(r, token="game"))
        browser.wait("document.querySelector('#market-state').textContent === 'Bets open'", "the market")
        not_offered(browser, "Betting needs an account, and accounts are given out by the operator.")
        keep(browser, "bets-no-account")
        status, _, text = r.request("POST", "/v1/ledger/accounts", b"{}", {**JSON, "authorization": "Bearer house"})
        assert status == 201
        made = json.loads(text)
        browser.open(f"{r.url}/#token=viewer&account={made['id']}:{made['secret']}")
        bet(browser, "A", 300)
        browser.wait("document.querySelector('#balance').textContent === '99,700'", "the balance")
        browser.open(f"{r.url}/#token=viewer&account=acc_000:{made['secret']}")
        not_offered(browser, "This server does not know the account that this page was opened with.")
        keep(browser, "bets-unknown-account")
        assert browser.errors == []


def test_bets_are_not_offered_where_somebody_else_takes_them():
    venue = Venue()
    with webhook_ringside(venue) as r, Browser() as browser:
        wait_for(lambda: r.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        browser.open(r.url + "/")
        browser.wait("document.querySelector('#live').textContent === 'Live'", "live")
        announce(Game(r))
        browser.wait("document.querySelector('#market-state').textContent === 'Bets open'", "the market")
        not_offered(browser, "Bets on this duel are taken by its operator's own service, not on this page.")
        assert browser.text("#mine-a") == browser.text("#mine-b") == browser.text("#pool-total") == ""  # what is staked there nobody knows here
        keep(browser, "bets-elsewhere")
        assert browser.errors == []
    venue.shutdown()
    venue.server_close()


def test_that_a_token_is_needed_stays_said(strict):
    with Browser() as browser:
        browser.open(strict.url + "/")
        browser.wait("document.querySelector('#live').textContent === 'Logged out'", "the refusal")
        browser.run("document.querySelector('.screen').scrollIntoView()")
        say_nothing_else(browser, "#screen-note", "The picture is for whoever has logged in.", EVENTS_ASKED)
        assert browser.run(PICTURES_ASKED) == 0  # what is not for this visitor is not asked for
        not_offered(browser, "Betting needs a token that may read this feed.")
        assert browser.text("#live") == "Logged out"
        assert browser.text("#phase .about") == "log in to watch"
        assert browser.run("document.querySelector('#ops-link').checkVisibility()") is False
        assert browser.text("#health-note") == "The feed has said nothing about the picture yet."
        keep(browser, "token-needed")


def test_pages_are_served_strictly(stage):
    for path, kind_of in (("/", "text/html; charset=utf-8"), ("/page/main.js", "text/javascript; charset=utf-8"),
                          ("/arena/arena", "text/html; charset=utf-8"), ("/embed/arena", "text/html; charset=utf-8"),
                          ("/ops", "text/html; charset=utf-8")):
        status, headers, _ = stage.request("GET", path)
        assert status == 200 and headers["content-type"] == kind_of
        assert "default-src 'none'" in headers["content-security-policy"]
        assert ("frame-ancestors *" in headers["content-security-policy"]) == path.startswith("/embed/")
        assert headers.get("access-control-allow-origin") is None
        assert stage.request("GET", path, headers={"if-none-match": headers["etag"]})[0] == 304
    for path in ("/arena/", "/arena/Bad", "/arena/a/b", "/embed/", "/embed/a/b", "/ops/x", "/page/none.js", "/v1/feeds/none"):
        assert stage.request("GET", path)[0] == 404
    assert stage.request("POST", "/", b"x")[0] == 405
