"""scripts/run: what it started ends with it, however impatient its user is. Of what it starts stubs stand here."""

import os
import shutil
import signal
import subprocess

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


def test_two_interrupts_leave_nothing_running(tmp_path):
    at = lambda *names: os.path.join(tmp_path, *names)
    os.makedirs(at("scripts"))
    shutil.copy(os.path.join(ROOT, "scripts/run"), at("scripts/run"))
    executable(at("scripts/lib.sh"), f"root={tmp_path} cache={tmp_path}/cache\n"
               "need() { :; }\nsay() { echo \"$*\"; }\ndie() { echo \"$*\"; exit 1; }\n")
    executable(at("scripts/build"), "#!/bin/sh\n")
    executable(at("build/bin/ringside"), STUB)
    executable(at("stubs/curl"), f"#!/bin/sh\ntest -e {at('build/bin/pid')}\n")
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
        pid = int(open(at("build/bin/pid")).read())
        if os.path.exists(f"/proc/{pid}"):
            os.kill(pid, signal.SIGKILL)
