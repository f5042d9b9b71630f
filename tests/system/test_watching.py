"""What is shipped to watch a Ringside with: alerts and a dashboard, held against the names that a running one has."""

import json
import os
import re
import subprocess

import pytest

from ringside import Ringside

PACKAGING = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "packaging")
RULES = os.path.join(PACKAGING, "prometheus/ringside.rules.yml")
NAME = re.compile(r"\bringside_[a-z0-9_]+")


def promtool(*arguments, text=None):
    done = subprocess.run(["promtool", *arguments], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def metrics():
    with Ringside("--capture-workers=1", bridge=1) as r:
        return r.get("/metrics")


@pytest.fixture(scope="module")
def names(metrics):
    """Of series, as they may stand in an expression."""
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", metrics, re.M))
    found = set(re.findall(r"^([a-z0-9_]+)[{ ]", metrics, re.M))
    for name, kind in kinds.items():
        assert kind == "histogram" or name in found, name
    return found


@pytest.fixture(scope="module")
def dashboard():
    with open(os.path.join(PACKAGING, "grafana/ringside.json"), encoding="utf-8") as file:
        return json.load(file)


def expressions(dashboard):
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]


def test_metrics_are_as_prometheus_wants_them(metrics):
    promtool("check", "metrics", text=metrics)


def test_names_are_by_convention(metrics):
    """Counters end in _total and nothing else does; times are seconds, sizes bytes, no unit is abbreviated; all are told of."""
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", metrics, re.M))
    helps = dict(re.findall(r"^# HELP (\S+) (.+)$", metrics, re.M))
    assert len(kinds) > 150 and set(kinds) == set(helps)
    for name, kind in kinds.items():
        assert re.fullmatch(r"ringside(_[a-z0-9]+)+", name), name
        assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search(r"_(ms|us|ns|milliseconds|kb|mb|kilobytes|percent|count|sum|bucket)(_|$)", name), name
        assert kind != "histogram" or name.endswith("_seconds"), name


def test_alerts_fire_for_what_is_measured(names):
    promtool("check", "rules", RULES)
    promtool("test", "rules", RULES.replace(".yml", ".test.yml"))
    with open(RULES, encoding="utf-8") as file:
        used = set(NAME.findall(file.read()))
    assert len(used) > 20 and used <= names, used - names


def test_the_dashboard_shows_what_is_measured(dashboard, names, tmp_path):
    used = {name for e in expressions(dashboard) for name in NAME.findall(e)}
    assert len(used) > 40 and used <= names, used - names
    # Each is an expression; Grafana's own variables in the place of what it puts there.
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": [
        {"record": f"panel:{i}", "expr": e.replace("$__rate_interval", "5m")} for i, e in enumerate(expressions(dashboard))]}]}))
    promtool("check", "rules", str(rules))
    assert all('{job="$job",instance=~"$instance"}' in e for e in expressions(dashboard))


def test_panels_do_not_cover_one_another(dashboard):
    cells = {}
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert x < 24 and cells.setdefault((x, y), panel["title"]) == panel["title"], panel["title"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_what_operations_says_to_watch_is_there(names):
    """Names in the documents are those of a running one."""
    docs = os.path.join(os.path.dirname(PACKAGING), "docs")
    with open(os.path.join(docs, "operations.md"), encoding="utf-8") as file:
        text = file.read()
    bases = names | {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}
    used = {name for name in re.findall(r"`(ringside_[a-z0-9_]+)", text)}
    assert len(used) > 15 and used <= bases, used - bases
