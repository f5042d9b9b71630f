"""What the README shows is run as it stands there, but for the address, the run directory and the waiting."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
import threading

import pytest

from duel_game import check_frames, frames_of
from page_browser import BROWSER, Browser
from ringside import Ringside, wait_for

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
with open(os.path.join(ROOT, "README.md")) as file:
    README = file.read()
SURFACES = README.partition("## What it serves")[2].partition("\n## ")[0]
COMMANDS = re.findall(r"`((?:curl|build/bin/ringsidectl) [^`]*)`", SURFACES)
GAMES = [textwrap.dedent(block) for block in re.findall(r"(?:^    .*\n|^\n)+", README.partition("## A game behind it")[2]
                                                        .partition("\n## ")[0], re.M) if block.strip()]


@pytest.fixture(scope="module")
def ringside():
    with Ringside("--duel-countdown=50ms", "--duel-resolution=50ms", "--duel-pause=10ms", "--capture-workers=1",
                  "--capture-allow-private=127.0.0.1", workers=2, bridge=1) as r:
        wait_for(lambda: r.request("GET", "/v1/feeds/arena")[0] == 200, "the feed")
        yield r


PACKAGE = os.path.join(ROOT, "clients/js")
with open(os.path.join(PACKAGE, "README.md")) as file:
    BLOCKS = re.findall(r"^```js\n(.*?)^```", file.read(), re.M | re.S)
IN_NODE = [block for block in BLOCKS if "/page/client/" not in block]
IN_PAGES = [block for block in BLOCKS if "/page/client/" in block]
FOLLOWED, = [textwrap.dedent(block) for block in re.findall(r"(?:^    .*\n|^\n)+", README, re.M) if "ringside-client" in block]


def here(r, text):
    address = r.url.removeprefix("http://")
    # Of an address that begins so, 127.0.0.1:44371, is nothing replaced again.
    return (re.sub(r"\b(localhost|127\.0\.0\.1):4437\b", address, text)
            .replace(".cache/run", r.run_dir).replace("build/bin", os.path.dirname(r.program)))


def test_there_is_something_to_run():
    assert len(COMMANDS) >= 12 and len(GAMES) == 2
    for link in re.findall(r"\]\(([a-z][^)#:]*)\)", README):
        assert os.path.exists(os.path.join(ROOT, link)), link


def test_a_game_in_python(ringside, tmp_path):
    program = tmp_path / "game.py"
    program.write_text(here(ringside, GAMES[0]).replace("announcementMs=10000", "announcementMs=1000")
                       .replace("sleep(0.5)", "sleep(0.01)"))
    subprocess.run([sys.executable, program], check=True, timeout=60,
                   env={**os.environ, "PYTHONPATH": os.path.join(ROOT, "clients/python/src")})
    check_last_duel(ringside, {"red", "blue"})


def test_a_game_in_c(ringside, tmp_path):
    source = tmp_path / "game.c"
    source.write_text(here(ringside, GAMES[1]).replace('\\"announcementMs\\":10000', '\\"announcementMs\\":1000')
                      .replace("usleep(300000)", "usleep(10000)"))
    subprocess.run(["cc", "-Wall", "-Werror", "-o", tmp_path / "game", source, "-lcurl"], check=True, timeout=60)
    subprocess.run([tmp_path / "game"], check=True, timeout=60, stdout=subprocess.DEVNULL)
    check_last_duel(ringside, {"red", "blue"})


def check_last_duel(r, winners):
    frames = frames_of(r)
    assert check_frames(frames)
    last = wait_for(lambda: frames_of(r, stream="results"), "the result")[-1]
    assert last["outcome"] == "win" and last["winReason"] == "kill" and last["winnerId"] in winners


def node_version():
    node = shutil.which("node")
    return int(subprocess.run([node, "-p", "process.versions.node.split('.')[0]"], capture_output=True, text=True).stdout) if node else 0


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """An empty directory, and the package as it is packed, installed there with no network."""
    directory = tmp_path_factory.mktemp("installed")
    npm = {"check": True, "timeout": 120, "cwd": directory, "stdout": subprocess.DEVNULL,
           "env": {**os.environ, "npm_config_cache": str(directory / "cache"), "npm_config_update_notifier": "false"}}
    subprocess.run(["npm", "pack", "--ignore-scripts", PACKAGE], **npm)
    packed, = directory.glob("ringside-client-*.tgz")
    subprocess.run(["npm", "install", "--offline", "--no-audit", "--no-fund", f"./{packed.name}"], **npm)
    assert not (directory / "node_modules/ringside-client").is_symlink()
    return directory


def in_node(r, directory, text):
    """As a program that has the package installed."""
    program = directory / "program.mjs"
    program.write_text(here(r, text))
    return subprocess.Popen(["node", program], stdout=subprocess.PIPE, text=True)


@pytest.mark.skipif(node_version() < 20, reason="no Node 20")
@pytest.mark.parametrize("number", range(len(IN_NODE)))
def test_the_package_in_node(ringside, installed, number):
    program = in_node(ringside, installed, IN_NODE[number])
    said = program.communicate(timeout=60)[0]
    assert program.returncode == 0 and said and "failed" not in said


@pytest.mark.skipif(node_version() < 20, reason="no Node 20")
def test_what_the_readme_follows(ringside, tmp_path, installed):
    """After a game: its result is told, and more would be."""
    test_a_game_in_python(ringside, tmp_path)
    with in_node(ringside, installed, FOLLOWED) as program:
        assert "outcome: 'win'" in read_until(program, "outcome: 'win'")
        program.kill()


def read_until(program, words):
    text = ""
    while words not in text and (line := program.stdout.readline()):
        text += line
    return text


with open(os.path.join(ROOT, "clients/python/README.md")) as file:
    SECTIONS = {part.partition("\n")[0]: [textwrap.dedent(block) for block in re.findall(r"(?:^    .*\n|^\n)+", part, re.M) if block.strip()]
                for part in file.read().split("\n## ")}
IMPORTS = next(blocks for title, blocks in SECTIONS.items() if title.startswith("# "))[-1]
# What each says before it is ended; none: it ends by itself.
SAID = {"Follow": ["Message(stream='news'"], "Append": [None], "Games": [None], "Conversations": ["answered up to"],
        "Agents": ["'id': 'echo'", "answered: You said: Is anybody there?"]}


def test_each_example_in_python_is_run():
    assert [(title, len(blocks)) for title, blocks in SECTIONS.items()][1:] == [(title, len(said)) for title, said in SAID.items()]


@pytest.mark.parametrize("title, number", [(title, number) for title in SAID for number in range(len(SAID[title]))])
def test_the_package_in_python(ringside, tmp_path, title, number):
    words, block = SAID[title][number], SECTIONS[title][number]
    server = f'Server("{ringside.url}")'
    program = tmp_path / "program.py"
    program.write_text(IMPORTS.replace('Server("https://arena.example", token="...")', server) + block)
    assert server in program.read_text()
    if title == "Follow":
        ringside.request("PUT", "/v1/stream/news", b'["It begins.", "It goes on."]', {"content-type": "application/json"})
    with subprocess.Popen([sys.executable, "-u", program], stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "PYTHONPATH": os.path.join(ROOT, "clients/python/src")}) as running:
        late = threading.Timer(60, running.kill)
        late.start()
        try:
            if words is None:
                assert running.wait(60) == 0
            elif words.startswith("answered: "):
                is_answered(ringside, words.partition(": ")[2])
            else:
                assert words in read_until(running, words)
        finally:
            late.cancel()
            running.kill()


def is_answered(r, answer):
    body = b'{"content": "Is anybody there?", "messageId": "there"}'
    assert r.request("POST", "/v1/sessions/asks/messages", body, {"content-type": "application/json"})[0] == 202
    wait_for(lambda: answer in r.get("/v1/stream/sessions/asks?offset=-1"), "the answer")


@pytest.mark.browser
@pytest.mark.skipif(not os.path.exists(BROWSER), reason="no browser")
@pytest.mark.parametrize("number", range(len(IN_PAGES)))
def test_the_package_in_a_page(ringside, number):
    with Browser() as browser:
        browser.open(ringside.url + "/page/icon.svg")
        browser.wait("document.readyState === 'complete'")
        browser.call("Page.navigate", url=ringside.url + "/arena/none")
        browser.wait("location.pathname === '/arena/none' && document.readyState === 'complete'")
        browser.run("document.body.innerHTML = '<video muted playsinline autoplay></video><canvas width=640 height=360></canvas>'")
        imports = re.sub(r'^import (\{.*?\}) from ("[^"]*");$', r"const \1 = await import(\2);", here(ringside, IN_PAGES[number]), flags=re.M)
        browser.run(f"(async () => {{ {imports} }})()")
        browser.wait("document.title.startsWith('showing ')", "a picture")


@pytest.mark.parametrize("command", [c for c in COMMANDS if "/stream " not in c])
def test_commands(ringside, command):
    """After a duel, so that there is something to see; whoever follows is cut."""
    follows = " -N " in command
    text = here(ringside, command).replace("curl ", "curl -sS --fail-with-body " + ("-m 2 " if follows else ""), 1)
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, timeout=60)
    assert done.returncode == (28 if follows else 0), done.stdout + done.stderr
    assert done.stdout or " PUT " in text


@pytest.mark.browser
@pytest.mark.skipif(not os.path.exists(BROWSER), reason="no browser")
@pytest.mark.parametrize("command", [c for c in COMMANDS if "/stream " in c])
def test_a_session(ringside, command):
    done = subprocess.run(["bash", "-c", here(ringside, command).replace("curl ", "curl -sS --fail-with-body ", 1)],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and '"streamId"' in done.stdout, done.stdout + done.stderr


def test_every_document_is_named():
    for name in os.listdir(os.path.join(ROOT, "docs")):
        if name.endswith(".md") and name not in ("bench-video.md",):
            assert f"docs/{name}" in README, name
