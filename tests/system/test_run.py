"""scripts/run: what it started ends with it, however impatient its user is. Of what it starts stubs stand here."""

import json
import os
import shutil
import signal
import subprocess

import pytest

from ringside import wait_for

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")

# Ends a second after it is told to, or at once when it is told again.
STUB = """#!/usr/bin/env bash
trap 'told=$((told + 1))' TERM
told=0
echo $$ >"$(dirname "$0")/pid"
while [ $told = 0 ]; do sleep 0.05; done
for ((i = 0; i < 20 && told < 2; i++)); do sleep 0.05; done
echo $told >"$(dirname "$0")/told"
"""


def executable(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, 0o755)


def stage(tmp_path):
    """The script, and stubs of what it starts."""
    at = lambda *names: os.path.join(tmp_path, *names)
    os.makedirs(at("scripts"))
    shutil.copy(os.path.join(ROOT, "scripts/run"), at("scripts/run"))
    executable(at("scripts/lib.sh"), f"root={tmp_path} cache={tmp_path}/cache\n"
               "need() { :; }\nsay() { echo \"$*\"; }\ndie() { echo \"$*\"; exit 1; }\n")
    executable(at("scripts/build"), "#!/bin/sh\n")
    executable(at("build/bin/ringside"), STUB)
    executable(at("stubs/curl"), f"#!/bin/sh\ntest -e {at('build/bin/pid')}\n")
    return at


def end_stub(at):
    pid = int(open(at("build/bin/pid")).read())
    if os.path.exists(f"/proc/{pid}"):
        os.kill(pid, signal.SIGKILL)


def test_the_strict_one_leaves_every_token_where_the_readme_looks(tmp_path):
    at = stage(tmp_path)
    executable(at("build/bin/ringside"), "#!/bin/sh\nenv >\"$(dirname \"$0\")/environment\"\n")
    script = subprocess.run([at("scripts/run"), "--strict", "--bare"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                            env={**os.environ, "PATH": f"{at('stubs')}:{os.environ['PATH']}"}, timeout=60, check=False)
    assert script.returncode == 1  # the stub ended
    path = at("cache/run/tokens.json")
    assert os.stat(path).st_mode & 0o777 == 0o600
    with open(path) as file:
        tokens = json.load(file)
    with open(at("build/bin/environment")) as file:
        given = dict(line.rstrip("\n").split("=", 1) for line in file if line.startswith("RINGSIDE_"))
    for name, setting in {"viewer": "AUTH_SUBSCRIBE_TOKENS", "publish": "AUTH_PUBLISH_TOKENS", "ledger": "AUTH_LEDGER_TOKEN",
                          "source": "AUTH_SOURCE_TOKEN", "betSync": "BET_SYNC_TOKEN"}.items():
        assert tokens[name] == given[f"RINGSIDE_{setting}"]
    assert list(tokens)[-1] == "betSync" and len(set(tokens.values())) == 5  # the README's sed takes the last


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, None])
def test_what_it_started_ends_also_when_nobody_listens(tmp_path, how):
    """As with `scripts/run | head -3`: it ended at its next word, and Ringside ran on."""
    at = stage(tmp_path)
    reader, writer = os.pipe()
    script = subprocess.Popen([at("scripts/run"), "--bare"], stdout=writer, stderr=writer,
                              env={**os.environ, "PATH": f"{at('stubs')}:{os.environ['PATH']}"})
    os.close(writer)
    try:
        with open(reader) as said:
            for line in said:
                if ("Ctrl-C ends it" if how else "starting Ringside") in line:
                    break
        wait_for(lambda: os.path.exists(at("build/bin/pid")), "the stub")
        if how:
            script.send_signal(how)
        script.wait(60)
        assert int(open(at("build/bin/told")).read()) >= 1
    finally:
        script.kill()
        end_stub(at)


def test_a_second_one_leaves_the_first_alone(tmp_path):
    """It truncated the log, wrote its own tokens, and its game took over the feed."""
    at = stage(tmp_path)
    executable(at("build/bin/ringside"), f"#!/bin/sh\ntouch {at('started')}\n")
    for name, text in (("log", "of the first"), ("tokens.json", "of the first")):
        os.makedirs(at("cache/run"), exist_ok=True)
        with open(at("cache/run", name), "w") as file:
            file.write(text)

    def refused(why):
        done = subprocess.run([at("scripts/run"), "--strict"], capture_output=True, text=True, timeout=60, check=False,
                              env={**os.environ, "PATH": f"{at('stubs')}:{os.environ['PATH']}"})
        assert done.returncode == 1 and why in done.stdout and not os.path.exists(at("started"))
        for name in ("log", "tokens.json"):
            with open(at("cache/run", name)) as file:
                assert file.read() == "of the first"

    executable(at("build/bin/ringsidectl"), "#!/bin/sh\necho 'ringside 0.1.0  ready  pid 7'\n")
    refused("it runs already (ringside 0.1.0  ready  pid 7)")
    executable(at("build/bin/ringsidectl"), "#!/bin/sh\nexit 1\n")
    executable(at("stubs/curl"), "#!/bin/sh\n")  # somebody answers
    refused("somebody serves http://127.0.0.1:4437 already")


def test_two_interrupts_leave_nothing_running(tmp_path):
    at = stage(tmp_path)
    script = subprocess.Popen([at("scripts/run"), "--bare"], stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "PATH": f"{at('stubs')}:{os.environ['PATH']}"})
    try:
        wait_for(lambda: os.path.exists(at("build/bin/pid")), "the stub")
        for line in script.stdout:
            if "Ctrl-C ends it" in line:
                break
        script.send_signal(signal.SIGINT)
        for line in script.stdout:
            if "ending" in line:
                break
        script.send_signal(signal.SIGINT)
        rest = script.stdout.read()
        assert script.wait() == 0 and "all ended" in rest
        assert int(open(at("build/bin/told")).read()) >= 1  # written last
    finally:
        script.kill()
        end_stub(at)
