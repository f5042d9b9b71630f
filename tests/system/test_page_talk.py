"""The page's conversation with the players, in a real browser: asked there, an answer grows depth by depth, and all of it is
there once whatever is killed meanwhile; by keyboard, on a phone, in both themes, and when it cannot be sent."""

import gzip
import os
import signal

import pytest

from page_browser import BROWSER, Browser
from ringside import Ringside, wait_for
from test_analyst import FLAGS, Analyst, end, position
from test_conversations import ask, pieces, stream

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not os.path.exists(BROWSER), reason="no browser")]
ENDGAME = "8/8/8/4k3/8/4K3/4P3/8 w - - 0 1"  # one depth soon follows another, and there is no last


@pytest.fixture(scope="module")
def r():
    with Ringside(*FLAGS, "--feeds-source-silence=10m", workers=2, bridge=1) as ringside:
        wait_for(lambda: ringside.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        yield ringside


@pytest.fixture(scope="module")
def analyst(r):
    with Analyst(r, "--depth=0", "--seconds=0") as analyst:  # whoever asks says when it is enough
        yield analyst


@pytest.fixture(scope="module")
def duel(r):
    game, duel = position(r, ENDGAME)
    yield duel
    end(game, duel)


def look(browser, r, *size, query="", **how):
    browser.open(f"{r.url}/{query}", *(size or (1280, 900)), **how)
    browser.wait("document.querySelector('#live').textContent === 'Live'", "live")
    browser.run("document.querySelector('#talk-card').scrollIntoView()")
    browser.wait("document.querySelector('#talk-state').textContent === 'Live'", "the connection")


def lines(browser, message):
    return browser.run(f"""[...document.querySelectorAll("#talk [data-message='{message}'] p")].map(p => p.textContent)""")


def said(r, session, message):
    """What is in the conversation of that message."""
    return [chunk for key, chunk in pieces(stream(r, f"sessions/{session}")) if key.rsplit(":", 1)[0] == message]


def newest_question(browser):
    return browser.wait("[...document.querySelectorAll('#talk .me')].at(-1).dataset.message", "the question")


def test_an_answer_grows_and_outlives_all_workers(r, analyst, duel):
    with Browser() as browser:
        look(browser, r)
        browser.wait("[...document.querySelectorAll('#whom span')].map(e => e.textContent).join() === 'stockfish,gnuchess'", "whom")
        browser.wait("!document.querySelector('#ask-fields').disabled", "the field")
        browser.run("window.sameDocument = true; document.querySelector('#question').focus()")
        for letter in "Who is ahead?":
            browser.press(letter, letter)
        browser.press("Enter", "\r")
        question = newest_question(browser)
        answer = "re-" + question
        shown = f"""[...document.querySelectorAll("#talk .a[data-message='{answer}'] p")]"""
        browser.wait(f"{shown}.length > 3", "the answer's beginning")
        for name in ("sse-0", "sse-1", "bridge-0"):
            os.kill(r.worker(name)["pid"], signal.SIGKILL)
        before = len(lines(browser, answer))
        browser.wait(f"{shown}.length > {before + 2}", "more of it")
        browser.wait("document.querySelector('#talk-state').textContent === 'Live'", "the connection")
        browser.run(f"""document.querySelector("#talk [data-message='{answer}'] button").click()""")  # Stop
        browser.wait(f"""document.querySelector("#talk [data-message='{answer}']").dataset.over""", "the end")
        given = said(r, "engine-stockfish", answer)
        texts = [chunk["delta"].rstrip("\n") for chunk in given[:-1]]
        assert given[-1] == {"type": "stop", "reason": "stopped"} and texts[0].startswith("White to move.")
        assert lines(browser, answer) == texts and lines(browser, question) == ["Who is ahead?"]
        depths = [int(text.split()[1].rstrip(":")) for text in texts[1:]]
        assert depths == sorted(set(depths)) and len(depths) > 3
        # The other one's is a conversation of its own; what it says ends by itself.
        browser.run("""document.querySelector("#whom input[value='engine-gnuchess']").click();
            document.querySelector('#question').value = 'What of e2e5?'; document.querySelector('#ask button.strong').click()""")
        other = newest_question(browser)
        browser.wait(f"""document.querySelector("#talk .b[data-message='re-{other}']").dataset.over""", "the other's answer")
        assert lines(browser, "re-" + other) == ["e2e5 cannot be played here."]
        assert browser.run("window.sameDocument") is True
        # A reload shows the same, once.
        everything = browser.run("[...document.querySelectorAll('#talk [data-message]')].map(e => [e.dataset.message, e.innerText])")
        assert [message for message, _ in everything] == [question, answer, other, "re-" + other]
        browser.call("Page.reload")
        browser.wait("window.sameDocument === undefined && !!document.querySelector('#talk-card')", "the reload")
        browser.run("document.querySelector('#talk-card').scrollIntoView()")
        browser.wait("document.querySelectorAll('#talk [data-message]').length === 4", "all of it")
        browser.wait(f"""document.querySelector("#talk [data-message='re-{other}']")?.dataset.over""", "the end of it")
        again = browser.run("[...document.querySelectorAll('#talk [data-message]')].map(e => [e.dataset.message, e.innerText])")
        assert again == everything
        assert browser.errors == []


def test_by_keyboard_on_a_phone_and_seen_by_others(r, analyst, duel):
    """All of it by keyboard; nothing is wider than the screen or too small to touch; whoever else looks sees it, too."""
    with Browser() as other, Browser() as browser:
        look(other, r, scheme="dark")
        look(browser, r, 360, 740, scheme="dark", phone=True)
        browser.wait("!document.querySelector('#ask-fields').disabled", "the field")
        browser.run("document.querySelector('#talk').focus()")
        reached = []
        for _ in range(6):
            browser.press("Tab")
            reached.append(browser.run("document.activeElement.name || document.activeElement.id || document.activeElement.textContent"))
        assert reached == ["whom", "Who is better?", "What would you play?", "Is there a mate?", "question", "Ask"]
        browser.run("document.querySelector('#whom input').focus()")
        browser.press("ArrowRight")
        assert browser.run("document.querySelector('#whom input:checked').value") == "engine-gnuchess"
        browser.run("document.querySelector('#question').focus()")
        for letter in "e2e5":
            browser.press(letter, letter)
        browser.press("Enter", "\r")
        question = newest_question(browser)
        for screen in (browser, other):
            screen.wait(f"""document.querySelector("#talk .b[data-message='re-{question}']").dataset.over""", "the answer")
            assert lines(screen, "re-" + question) == ["e2e5 cannot be played here."]
        assert other.run(f"""document.querySelector("#talk .other[data-message='{question}'] b").textContent""") == "Somebody, to gnuchess"
        assert browser.run("document.documentElement.scrollWidth") <= 360
        small = browser.run("""[...document.querySelectorAll("#talk-card button, #whom span, #question")].filter(e => e.checkVisibility() &&
            (e.getBoundingClientRect().height < 44)).map(e => e.textContent)""")
        assert small == []
        for screen in (browser, other):
            moved, most = screen.shift()
            assert moved < 0.02, most
            for scheme in ("light", "dark"):
                screen.scheme(scheme)
                assert screen.run(CONTRASTS) == []
            assert screen.errors == []


# Texts of the card that have less than 4.5 : 1 against what is behind them (WCAG 1.4.3).
CONTRASTS = """(() => {
    const channel = c => c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4;
    const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    const colour = text => text.match(/[\\d.]+/g).map(Number);
    const behind = e => { for (; e; e = e.parentElement) { const c = colour(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
    return [...document.querySelectorAll("#talk-card *")].filter(e => e.checkVisibility() && !e.matches(":disabled, :disabled *") &&
        [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())).map(e => {
        const [a, b] = [luminance(colour(getComputedStyle(e).color)), luminance(behind(e))].sort((x, y) => y - x);
        return [(a + 0.05) / (b + 0.05), e.className || e.id || e.nodeName, e.textContent];
    }).filter(([ratio]) => ratio < 4.5);
})()"""


def test_what_cannot_be_sent_is_told_and_is_sent_again(r, analyst, duel):
    with Browser() as browser:
        look(browser, r)
        browser.wait("!document.querySelector('#ask-fields').disabled", "the field")
        browser.run("""window.realFetch = fetch; window.fetch = (url, options) => String(url).endsWith("/send")
            ? Promise.resolve(new Response('{"error":"not now"}', { status: window.answer })) : realFetch(url, options); window.answer = 503;
            document.querySelector('#question').value = 'e2e5'; document.querySelector('#ask button.strong').click()""")
        question = newest_question(browser)
        state = f"""document.querySelector("#talk [data-message='{question}'] small").textContent"""
        browser.wait(f"{state} === 'Not sent yet: it is tried again.'", "that it waits")
        browser.run("window.answer = 422")
        browser.wait(f"{state} === 'Not sent: not now.'", "that it was refused")
        browser.call("Page.reload")  # it is not forgotten
        browser.wait("window.realFetch === undefined && !!document.querySelector('#talk-card')", "the page")
        browser.run("document.querySelector('#talk-card').scrollIntoView()")
        browser.wait(f"{state} === 'Not sent: not now.'", "that it was refused")
        browser.wait("!document.querySelector('#ask-fields').disabled", "the field")
        browser.run(f"""document.querySelector("#talk [data-message='{question}'] button").click()""")
        browser.wait(f"""document.querySelector("#talk [data-message='re-{question}']").dataset.over""", "the answer")
        assert browser.run(f"{state}") == "" and lines(browser, question) == ["e2e5"]
        assert len(said(r, "engine-stockfish", question)) == 1
        assert browser.errors == []


def test_a_conversation_that_is_named(r):
    """?talk=ID: any agent's. Whoever says something first makes it."""
    with Browser() as browser:
        browser.open(f"{r.url}/?talk=builder")
        browser.wait("document.querySelector('#live').textContent === 'Live'", "live")
        browser.run("document.querySelector('#talk-card').scrollIntoView()")
        browser.wait("document.querySelector('#talk-note').textContent === 'Nobody has said anything here yet.'", "the note")
        browser.wait("!document.querySelector('#ask-fields').disabled", "the field")
        browser.run("document.querySelector('#question').value = '<b>hello</b>'; document.querySelector('#ask button.strong').click()")
        browser.wait("document.querySelectorAll('#talk .me').length === 1", "the question")
        question = newest_question(browser)
        wait_for(lambda: len(said(r, "builder", question)) == 1, "the message")
        # Pieces of other forms among them are no text, and nothing breaks by them.
        for n, chunk in enumerate(({"type": "text-delta", "delta": "You "}, {"type": "constructor", "delta": {"a": 1}}, {"type": 7, "content": []},
                                   {"type": "text-delta", "delta": "said\n\nit"}, {"type": "finish"})):
            ask(r, "POST", "/v1/sessions/builder/chunks", {"messageId": "re", "actorId": "builder", "role": "assistant", "chunk": chunk, "seq": n})
        browser.wait("document.querySelector('#talk [data-message=re]').dataset.over", "the answer")
        assert lines(browser, "re") == ["You said", "it"] and lines(browser, question) == ["<b>hello</b>"]
        ask(r, "POST", "/v1/sessions/builder/reset", {})
        browser.wait("document.querySelectorAll('#talk [data-message]').length === 0", "a new beginning")
        assert browser.errors == []


def test_it_is_said_who_may_not():
    tokens = {"RINGSIDE_AUTH_SUBSCRIBE_TOKENS": "viewer"}
    with Ringside("--dev=false", environment=tokens, workers=1, bridge=1) as r, Browser() as browser:
        browser.open(r.url + "/?talk=builder#token=viewer")
        browser.wait("document.querySelector('#live').textContent === 'Live'", "live")
        browser.wait("document.querySelector('#talk-note').textContent === 'Log in to ask.'", "the note")
        assert browser.run("document.querySelector('#ask-fields').disabled")
        assert browser.errors == []


def test_the_scripts_of_the_page_stay_small(r):
    """What a visitor's browser loads for the page, each file as it is coded on the way: 60 KB in all."""
    with Browser() as browser:
        look(browser, r)
        names = browser.run("performance.getEntriesByType('resource').map(e => e.name).filter(n => n.endsWith('.js'))")
        sizes = {name: len(gzip.compress(r.get(name[len(r.url):]).encode())) for name in names}
        assert len(sizes) > 15 and sum(sizes.values()) < 60000, (sum(sizes.values()), sizes)
        print(sum(sizes.values()))
