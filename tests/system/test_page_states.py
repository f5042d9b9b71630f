"""The page in each state that it has, one server and one browser for all of them: axe-core finds nothing in either theme,
nothing is wider than a phone, what the game is draws it (chess, the ring from above, a scene that it brings), and past duels
are watched again from the durable feed. Pictures are kept in ARTEFACTS."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from bettors import Bettor, announce, fresh_game
from page_browser import BROWSER, Browser
from ringside import Ringside, wait_for
from test_page import ROOT, bet, keep
from test_readme import GAMES, here

with open(os.path.join(ROOT, "tests/system/node_modules/axe-core/axe.min.js")) as file:
    AXE = file.read()
RULES = """axe.run(document, { resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] })
    .then(found => found.violations.map(v => [v.id, v.nodes.slice(0, 3).map(n => n.html.slice(0, 120) + " " + (n.any[0]?.message ?? "").slice(0, 120))]))"""
# Colours and the slip move for a moment. What has just been set begins with the next frame; what goes on for ever is no change.
STILL = """new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done))).then(() => Promise.allSettled(
    document.getAnimations().filter(moves => moves.effect.getComputedTiming().endTime < Infinity).map(moves => moves.finished)))"""
FEN = "r1bqkbnr/pppp1ppp/2n5/4p3/2B1P3/5N2/PPPP1PPP/RNBQK2R b KQkq - 3 3"
CHESS = {"game": "chess", "fen": FEN, "lastMove": "f1c4", "san": "Bc4", "ply": 5, "white": "alpha", "black": "beta", "turn": "beta", "check": False,
         "clocks": {"agent1": 61000, "agent2": 48000}, "running": True, "at": 0, "chance": 0.62, "moves": ["e4", "e5", "Nf3", "Nc6", "Bc4"]}
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not os.path.exists(BROWSER), reason="no browser")]


@pytest.fixture(scope="module")
def r():
    with Ringside("--feeds-scheduled=sparring", "--feeds-source-driven=arena", "--duel-countdown=300ms", "--duel-resolution=2s",
                  "--feeds-source-silence=10m", workers=1, bridge=1) as ringside:
        wait_for(lambda: ringside.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        yield ringside


@pytest.fixture(scope="module")
def browser(r):
    with Browser() as b:
        yield b


def look(browser, url):
    browser.open(url)
    browser.wait("document.querySelector('#live')?.textContent === 'Live'", "live")
    browser.run(AXE + ";0")


def check(browser, name):
    """Nothing for axe to find, and no sideways scrolling; a picture of it in both themes, at a desk and on a phone."""
    for width, height in ((1280, 800), (360, 740)):
        browser.size(width, height, phone=width < 600)
        for scheme in ("light", "dark"):
            browser.scheme(scheme)
            browser.run(STILL)
            keep(browser, f"{name}-{scheme}-{width}", whole=False)
            found = browser.run(RULES)
            assert found == [], (name, scheme, width, json.dumps(found, indent=1))
        assert browser.run("document.documentElement.scrollWidth") <= width, name
    browser.size(640, 400)  # 200 % zoom
    assert browser.run("document.documentElement.scrollWidth") <= 640, name
    browser.size(1280, 800)
    browser.scheme("light")


def shown(browser, duel, phase):
    browser.wait(f"document.documentElement.dataset.duel === '{duel}' && document.documentElement.dataset.phase === '{phase}'", phase)


def test_each_state(r, browser):
    """Nobody there, bets open and placed, get ready, the fight, what was won, past duels again, all of one's bets, not live."""
    game, other = fresh_game(r), Bettor(r)
    look(browser, r.url + "/")
    check(browser, "idle")
    duel = announce(game, announcementMs=600000)
    shown(browser, duel, "ANNOUNCEMENT")
    assert other.bet(duel, "B", 900)[0] == 201
    bet(browser, "A", 300)
    browser.wait("document.querySelectorAll('#bets li').length === 2", "the bets")
    browser.wait("document.querySelector('#odds-a').textContent === '100 pays400'", "what 100 pays")
    assert browser.text("#bets .a").startswith("You on Alpha")
    check(browser, "open")
    assert browser.text("#preview b") == "300 pays 750 if Alpha \"α\" wins: +450"  # 1,500 staked then, 600 of it on A
    game.post("positions", duelId=duel, agent1=[0, 0, 0], agent2=[1, 0, 0])
    game.post("phase", duelId=duel, phase="COUNTDOWN", fightStartTime=int(time.time() * 1000) + 300000)
    shown(browser, duel, "COUNTDOWN")
    check(browser, "countdown")
    game.post("phase", duelId=duel, phase="FIGHTING")
    browser.wait("document.querySelector('#verdict-title').textContent === 'Bets are closed'", "the close")
    game.post("scene", duelId=duel, scene=CHESS)
    browser.wait("document.querySelector('.plate.a .move').textContent === '3. Bc4'", "the move")
    assert browser.run("[...document.querySelectorAll('#moves span')].map(e => e.textContent).join(' ')") == "1 e4 e5 2 Nf3 Nc6 3 Bc4 "
    assert browser.text(".plate.a .value") == "62 % chance" and browser.run("document.querySelectorAll('.board .piece').length") == 32
    check(browser, "fight")
    game.post("death", duelId=duel, ids=["beta"], detail="checkmate")
    browser.wait("document.querySelector('#verdict-title').textContent === 'You won 900 net'", "what was won")
    assert browser.text("#phase .count") == "1 – 0" and browser.text("#announce") == "Alpha \"α\" wins."
    check(browser, "won")
    browser.wait("!!document.querySelector('#past .link')", "the past duel")
    assert browser.text("#past li .under-row") == "checkmate100 paid 400"
    browser.click("#past .link")  # again, from the durable feed
    browser.wait("Number(document.querySelector('#replay-at').max) > 3", "its frames")
    browser.run("""document.querySelector('#replay-at').value = 0; document.querySelector('#replay-at').dispatchEvent(new Event('input'))""")
    assert browser.text("#replay-time") == "before"
    browser.run("""(at => { at.value = at.max; at.dispatchEvent(new Event('input')); })(document.querySelector('#replay-at'))""")
    assert browser.text("#replay-stage .plate.a .value") == "won"
    assert browser.run("document.querySelectorAll('#replay-stage .board .piece').length") == 32
    check(browser, "replay")
    browser.run("document.querySelector('#replay').close()")
    browser.click("#history-open")
    browser.wait("document.querySelectorAll('#history-rows tr').length === 1", "all bets")
    assert browser.run("[...document.querySelectorAll('#history-rows td')].slice(1).map(e => e.textContent).join('|')") == "Alpha \"α\"|300|1,200|+900|100,900"
    check(browser, "history")
    browser.run("document.querySelector('#history').close()")
    browser.click("#share")
    assert f"{r.url}/embed/arena" in browser.run("document.querySelector('#share-embed').value")
    check(browser, "share")
    browser.run("document.querySelector('#sharing').close()")
    assert browser.errors == []


def test_other_games_are_drawn_as_a_ring(r, browser, tmp_path):
    """The README's games, as they stand there, but for their feed and their pauses: nothing about chess is on the page."""
    program, source = tmp_path / "game.py", tmp_path / "game.c"
    program.write_text(here(r, GAMES[0]).replace('"arena"', '"sparring"').replace("announcementMs=10000", "announcementMs=2000").replace("sleep(0.5)", "sleep(0.15)"))
    source.write_text(here(r, GAMES[1]).replace("source/arena", "source/sparring").replace('\\"announcementMs\\":10000', '\\"announcementMs\\":2000')
                      .replace("usleep(300000)", "usleep(150000)"))
    subprocess.run(["cc", "-o", tmp_path / "game", source, "-lcurl"], check=True, timeout=60)
    look(browser, r.url + "/?feed=sparring")
    for command in ([sys.executable, program], [tmp_path / "game"]):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": os.path.join(ROOT, "clients/python/src")}) as playing:
            browser.wait("document.documentElement.dataset.phase === 'FIGHTING' && document.querySelectorAll('.events li').length > 1", "blows")
            assert browser.text("#log-title") == "Blows" and browser.run("document.querySelector('.board')") is None
            assert browser.run("document.querySelector('.mat').getAttribute('aria-label')").startswith("The ring from above.")
            assert playing.wait(60) == 0
        browser.wait("['won', 'lost'].includes(document.querySelector('.plate.a .value').textContent)", "the end")
    check(browser, "ring")
    assert browser.errors == []


def test_a_scene_that_a_game_brings(r, browser):
    """It draws in a frame that has no origin; what is no such name is the ring."""
    game = fresh_game(r)
    look(browser, r.url + "/")
    duel = announce(game)
    game.post("positions", duelId=duel, agent1=[-2, 0, 1], agent2=[3, 0, 0])
    game.post("phase", duelId=duel, phase="COUNTDOWN")
    game.post("phase", duelId=duel, phase="FIGHTING")
    game.post("scene", duelId=duel, scene={"game": "dice", "rolls": {"agent1": 3, "agent2": 5}})
    browser.wait("!!document.querySelector('#stage iframe')", "its frame")
    browser.wait("document.querySelector('#stage iframe').dataset.drawn", "what it drew")
    assert browser.run("document.querySelector('#stage iframe').contentDocument") is None  # another origin than ours
    check(browser, "scene")
    game.post("scene", duelId=duel, scene={"game": "no-such-scene"})
    browser.wait("!!document.querySelector('#stage .mat')", "the ring")
    assert browser.run("document.querySelector('#stage iframe')") is None
    game.post("abort", duelId=duel, reason="game_stopped")
    assert browser.errors == []


def subscribers(r):
    return sum(float(value) for value in re.findall(r"^ringside_subscribers\S* (\S+)$", r.get("/metrics"), re.M))


def test_eight_tabs_stay_alive(r, browser):
    """Over HTTP/1.1 a browser has six connections to one server: all tabs share one to the feed, also when its worker is killed."""
    look(browser, r.url + "/")
    before, tabs = subscribers(r), [browser.session]
    for _ in range(7):
        browser.open(r.url + "/", beside=True)
        tabs.append(browser.session)
    game = fresh_game(r)
    for kill in (False, True):
        if kill:
            os.kill(r.worker("sse-0")["pid"], signal.SIGKILL)
        duel = announce(game)
        for browser.session in tabs:
            shown(browser, duel, "ANNOUNCEMENT")
            browser.wait("document.querySelector('#live').textContent === 'Live'", "live")
            assert browser.run("fetch('/v1/me').then(answer => answer.status)") == 200
        assert kill or subscribers(r) == before == 1
        game.post("abort", duelId=duel, reason="game_stopped")
    assert browser.errors == []


def test_what_others_embed_and_who_runs_it(r, browser):
    browser.open(r.url + "/embed/arena", 640, 720)
    browser.wait("document.documentElement.dataset.seq", "the feed")
    assert browser.run("[...document.querySelectorAll('main > section')].filter(e => e.checkVisibility()).map(e => e.classList[0])") == ["score", "stage"]
    keep(browser, "embed", whole=False)
    browser.open(r.url + "/ops")
    browser.wait("document.querySelector('#ready').textContent === 'All serving'", "the machinery")
    browser.wait("document.querySelectorAll('#workers tr').length >= 2 && document.querySelectorAll('#frames li').length > 0", "workers and frames")
    assert browser.run("performance.getEntriesByType('resource').filter(e => /metrics$|readyz/.test(e.name)).length") == 0  # nothing is polled
    os.kill(r.worker("bridge-0")["pid"], signal.SIGKILL)
    browser.wait("[...document.querySelectorAll('#workers tr')].some(row => row.cells[0].textContent === 'bridge-0' && row.cells[2].textContent === '1')", "its restart")
    browser.wait("document.querySelector('#ready').textContent === 'All serving'", "the machinery again")
    browser.run(AXE + ";0")
    check(browser, "ops")
    assert browser.errors == []


def test_nobody_may_without_a_token(browser):
    with Ringside("--dev=false", environment={"RINGSIDE_AUTH_SUBSCRIBE_TOKENS": "viewer"}, workers=1, bridge=1) as closed:
        for path in ("/", "/ops"):
            browser.open(closed.url + path)
            browser.wait("['Logged out'].includes(document.querySelector('#live, #ready').textContent)", "the refusal")
            browser.run(AXE + ";0")
            check(browser, "logged-out" + path.replace("/", "-"))
        assert browser.run("document.querySelector('#operations').checkVisibility()") is False
        assert closed.request("GET", "/metrics?live=sse")[0] == 401
        assert browser.errors == []


def workers(browser, url):
    """The shared ones of that server."""
    session, browser.session = browser.session, None
    targets = browser.call("Target.getTargets")["targetInfos"]
    browser.session = session
    return [target for target in targets if target["type"] == "shared_worker" and target["url"].startswith(url)]


def test_tabs_of_different_logins_share_nothing(browser):
    """Also where neither token has a name: each tab hears what its own visitor may."""
    tokens = {"RINGSIDE_AUTH_SUBSCRIBE_TOKENS": "one-0123456789,two-0123456789"}
    with Ringside("--dev=false", environment=tokens, workers=1, bridge=1) as closed:
        for number, (token, many) in enumerate((("one", 1), ("two", 2), ("two", 2))):
            browser.open(f"{closed.url}/#token={token}-0123456789", beside=number > 0)
            browser.wait("document.querySelector('#live').textContent === 'Live'", "live")
            assert len(workers(browser, closed.url)) == many
        browser.call("Network.clearBrowserCookies")  # they are the other servers', too: a cookie knows no port
        assert browser.errors == []
