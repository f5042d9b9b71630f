"""In how many places a thing stands: what README says of adding one, tried on one that is there. Whoever makes another place
necessary sees it here."""

import os
import re

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DIRECTORIES = ["proto", "common", "supervisor", "worker-sse", "worker-capture", "worker-bridge", "worker-link"]

# What is looked for, and every file in which it stands. One that uses it is a place; tests are none.
SPECIMENS = {
    "a setting": (r"\bcapture_outputs_max\b", {"proto/settings.h", "worker-capture/outputs.c"}),
    "a metric": (r"\bbet_sync_unreadable_total\b", {"proto/counters.h", "worker-sse/views/bet_sync.c"}),
    "a message": (r"(?i)\brender_consumers\b|\bon_render_consumers\b",
                  {"proto/messages.h",
                   "worker-capture/main.c",  # its handler
                   "worker-sse/views/stream_kit.c"}),  # who sends it
    "a route": (r"\bfeed_newest_handle\b",
                {"worker-sse/routes.c", "worker-sse/views/feed_newest.c", "worker-sse/views/feed_newest.h"}),
    "a route that the bridge answers": (r'"/v1/oracle/"|\bbook_on_oracle_call\b',
                                        {"proto/forwarded.h", "worker-bridge/oracle_calls.c"}),
    "a forwarded header": (r"\bif_match\b|\"if-match\"", {"proto/forwarded.h", "worker-capture/render_whep.c"}),
    "a verb": (r"\bV\(METRICS\b|\bRIGHT\(METRICS\)|\bVERB_METRICS\b",
               {"common/domain/rights.h",
                "worker-sse/routes.c", "worker-sse/edge/refusal.c",  # who asks it, and what is said where nobody has it
                "worker-sse/edge/identity_tokens.c",  # which old keys have it
                "supervisor/survey.c"}),  # what check-config says of it
    "an old key": (r"\bauth_outputs_token\b",
                   {"proto/settings.h", "common/domain/short_keys.h", "worker-sse/edge/identity.c"}),
    "a role": (r"\bR\(\d+, CAPTURE\b", {"proto/roles.h"}),
}


def sources():
    for top in DIRECTORIES:
        for directory, _, names in os.walk(os.path.join(ROOT, top)):
            for name in names:
                if re.search(r"(?<!_test)\.[ch]$", name):
                    yield os.path.relpath(os.path.join(directory, name), ROOT)


def code_of(path):
    """Without comments: a mention is no place."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)


@pytest.mark.parametrize("what", SPECIMENS)
def test_a_thing_stands_in_so_many_places(what):
    pattern, places = SPECIMENS[what]
    assert {path for path in sources() if re.search(pattern, code_of(path))} == places


def test_readme_names_files_that_are_there():
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        text = file.read()
    tables = text[text.index("## Where things are"):text.index("## More")]
    found = set()
    for path in re.findall(r"`([a-z-]+/[\w./-]+\.[chy]\w*)`", tables):
        found.add(path)
        assert os.path.exists(os.path.join(ROOT, path)), path
    names = {os.path.basename(path) for path in sources()}
    for directory in ("worker-capture/injected", "clients/js/src"):
        names |= set(os.listdir(os.path.join(ROOT, directory)))
    for name in re.findall(r"`(\w+\.[ch]|\w+\.js)`", tables):
        assert name in names or name == "x.c" or name == "x_test.c", name
    assert len(found) > 25


def test_admin_commands_stand_in_three_places():
    """A row, what it does, how ringsidectl asks and prints: one of the supervisor's own, one of a worker's."""
    commands = {
        r"\bOWN\(scale\b|\bon_command_scale\b|\bctl_scale\b":
            {"supervisor/commands.h", "supervisor/admin_commands.c", "supervisor/ctl_control.c"},
        r"\"/screenshot\"": {"worker-capture/session_calls.c", "supervisor/ctl_capture.c"},
    }
    for pattern, places in commands.items():
        found = {path for path in sources() if re.search(pattern, code_of(path))}
        assert found == places
