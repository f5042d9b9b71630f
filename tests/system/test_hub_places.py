"""Directories and programs of the hub (docs/hub.md, list_directories and spawn_agent): what is seen, what is started and as whom,
and that nothing leads out."""

import hashlib
import json
import os
import shutil
import signal
import tempfile

import pytest

from hub_client import Hub
from ringside import Ringside, alive, wait_for
from test_tokens import with_rows

ROOT = os.geteuid() == 0
USER = "nobody"
SCRIPT = """#!/bin/sh
# Says what it is and has, and stays.
{ pwd; id -un; ls /proc/self/fd | wc -l; echo "$0 $*"; env | sort; } >"part.$$"
echo "a line of the program"
mv "part.$$" "said.$$"
exec sleep 1000
"""


@pytest.fixture
def place():
    """A directory with a root in it that everybody may write to, and a program."""
    path = tempfile.mkdtemp(prefix="ringside-places-")
    os.chmod(path, 0o755)
    os.mkdir(f"{path}/root")
    os.chmod(f"{path}/root", 0o777)
    with open(f"{path}/agent", "w") as file:
        file.write(SCRIPT)
    os.chmod(f"{path}/agent", 0o755)
    yield path
    for name in started(path):
        try:
            os.kill(name, signal.SIGKILL)
        except ProcessLookupError:
            pass
    shutil.rmtree(path)


def started(place):
    """Processes that said where they are."""
    return {int(name.rpartition(".")[2]) for _, _, names in os.walk(f"{place}/root") for name in names
            if name.startswith("said.")}


class Served(Ringside):
    """Whose sockets are closed before it ends: none of them answers a goodbye."""
    hubs = ()

    def __exit__(self, *of):
        for hub in self.hubs:
            hub.close()
        return super().__exit__(*of)


def serve(place, *flags, **more):
    return Served(f"--hub-roots={place}/root", f"--hub-commands=agent={place}/agent --first two, false=/bin/false,none={place}/none",
                    f"--hub-commands-user={USER if ROOT else ''}", *flags, **more)


def hub_of(r, **more):
    hub = Hub(r, **more)
    r.hubs = (*getattr(r, "hubs", ()), hub)
    hub.nodes()
    return hub


def test_nothing_is_there_unless_it_is_configured(place):
    with Served() as r:
        hub = hub_of(r)
        assert "hub.roots" in hub.ask("list_directories")["error"]
        assert "hub.roots" in hub.ask("spawn_agent", {"path": place})["error"]
    with Served(f"--hub-roots={place}/root") as r:
        hub = hub_of(r)
        assert hub.ask("list_directories")["result"] == {"current": f"{place}/root", "directories": []}
        assert "hub.commands" in hub.ask("spawn_agent", {"path": f"{place}/root"})["error"]


def test_a_root_that_is_a_link_is_called_as_it_is_configured(place):
    os.makedirs(f"{place}/root/a/deep")
    os.symlink("root", f"{place}/linked")
    with Served(f"--hub-roots={place}/linked") as r:
        hub = hub_of(r)
        assert hub.ask("list_directories")["result"] == {"current": f"{place}/linked", "directories": ["a"]}
        listed = hub.ask("list_directories", {"path": f"{place}/linked/a"})["result"]
        assert listed == {"current": f"{place}/linked/a", "directories": ["deep"]}


def test_what_a_program_leaves_behind_stays_as_long_as_it_runs(place):
    root = f"{place}/root"
    with open(f"{place}/agent", "w") as file:
        file.write("""#!/bin/sh
setsid sh -c 'sleep 1000 & echo $! >"$0/part"; mv "$0/part" "$0/said.$!"' "$PWD" &
wait
echo $$ >part.$$
mv part.$$ said.$$
exec sleep 1000
""")
    with serve(place) as r:
        hub_of(r).ask("spawn_agent", {"path": root})
        program, orphan = wait_for(lambda: len(started(place)) == 2 and sorted(
            started(place), key=lambda pid: os.path.getmtime(f"{root}/said.{pid}"), reverse=True), "both")
        r.ctl("restart", "all")  # the supervisor has looked after its children many times meanwhile
        wait_for(lambda: r.worker("sse-0")["state"] == "ready", "the restart")
        assert alive(program) and alive(orphan)
        os.kill(program, signal.SIGKILL)
        wait_for(lambda: not alive(orphan), "what it left behind")


def test_directories_are_listed_and_nothing_leads_out(place):
    root = f"{place}/root"
    for name in ("b", "a", "a/deep", ".hidden", "Z", "ä"):
        os.mkdir(f"{root}/{name}")
    os.mkdir(f"{place}/rooted")
    open(f"{root}/file", "w").close()
    os.mkfifo(f"{root}/fifo")
    os.symlink("a", f"{root}/link")
    os.symlink("/etc", f"{root}/out")
    os.symlink("..", f"{root}/up")
    os.symlink("loop", f"{root}/loop")
    os.symlink("file", f"{root}/link-to-file")
    with serve(place, "--hub-directories-max=5") as r:
        hub = hub_of(r)

        def ask(path):
            return hub.ask("list_directories", {"path": path})
        for path in (root, f"{root}/", f"{root}/a/.."):
            assert ask(path)["result"] == {"current": root, "directories": ["Z", "a", "b", "link", "ä"]}
        assert hub.ask("list_directories", {})["result"]["current"] == root
        assert ask(f"{root}/a")["result"] == {"current": f"{root}/a", "directories": ["deep"]}
        assert ask(f"{root}/link")["result"] == {"current": f"{root}/a", "directories": ["deep"]}
        for outside in ("/", "/etc", place, f"{place}/rooted", f"{root}/..", f"{root}/up", f"{root}/out", f"{root}/a/../..",
                        f"{root}/loop", f"{root}/up/root"):
            assert ask(outside)["error"] == "Path resolves outside home directory", outside
        for wrong in (f"{root}/none", f"{root}/file", "a", "../a", 7, "a\0b"):
            assert ask(wrong)["error"].startswith("Invalid path"), wrong
        os.mkdir(f"{root}/c")
        answer = ask(root)["result"]
        assert len(answer["directories"]) == 5 and answer["truncated"] is True
        # Many at once are answered, each with its own.
        for i in range(20):
            hub.send(1, json.dumps({"id": f"n{i}", "method": "list_directories", "params": {"path": f"{root}/a"}}))
        answers = [hub.message() for _ in range(20)]
        assert sorted(a["id"] for a in answers) == sorted(f"n{i}" for i in range(20))
        assert all(a.get("result", {}).get("directories") == ["deep"] for a in answers)


def test_a_program_is_started_as_configured_and_outlives_all(place):
    root = f"{place}/root"
    os.mkdir(f"{root}/desk")
    os.chmod(f"{root}/desk", 0o777)
    with serve(place, workers=2, environment={"HYPI_TOKEN": "secret", "LANG": "C.UTF-8"}) as r:
        hub = hub_of(r)
        assert hub.ask("spawn_agent", {"path": f"{root}/desk"})["result"] == {"status": "spawning", "path": f"{root}/desk"}
        pid, = wait_for(lambda: started(place), "the program")
        with open(f"{root}/desk/said.{pid}") as file:
            where, who, descriptors, command, *environment = file.read().splitlines()
        assert where == f"{root}/desk"
        assert who == (USER if ROOT else os.popen("id -un").read().strip())
        assert int(descriptors) == 4  # 0, 1, 2, and the directory that ls reads
        assert command == f"{place}/agent --first two"
        variables = {line.partition("=")[0] for line in environment}
        assert variables <= {"HOME", "SHELL", "USER", "LOGNAME", "PATH", "LANG", "LC_ALL", "TZ", "PWD", "OLDPWD", "SHLVL", "_"}
        assert os.getsid(pid) == pid and os.getpgid(pid) == pid
        wait_for(lambda: "a line of the program" in r.log(), "its output in the log")
        # New directories are made below, and those that are there taken.
        made = hub.ask("spawn_agent", {"path": root, "new_folder": " desk/new/deep "})["result"]
        assert made == {"status": "spawning", "path": f"{root}/desk/new/deep"}
        wait_for(lambda: len(started(place)) == 2, "the second one")
        # Workers come and go, and then all of it.
        for worker in r.worker_pids():
            os.kill(worker, signal.SIGKILL)
        hub.close()
        r.stop()
        assert all(alive(one) for one in started(place))


def test_what_is_started_is_reaped_and_bounded(place):
    with serve(place, "--hub-commands-max=2") as r:
        root, hub = f"{place}/root", hub_of(r)

        def children():
            with open(f"/proc/{r.process.pid}/task/{r.process.pid}/children") as file:
                return len(file.read().split())
        before = children()
        for _ in range(5):
            assert "result" in hub.ask("spawn_agent", {"path": root, "command": "false"})
            wait_for(lambda: children() == before, "it to be reaped")
        for _ in range(2):
            assert "result" in hub.ask("spawn_agent", {"path": root})
        assert "hub.commands_max" in hub.ask("spawn_agent", {"path": root})["error"]
        one = wait_for(lambda: len(started(place)) == 2 and min(started(place)), "both")
        os.kill(one, signal.SIGKILL)
        wait_for(lambda: children() == before + 1, "it to be reaped")
        assert "result" in hub.ask("spawn_agent", {"path": root})


def test_what_was_started_is_known_to_the_next_build(place):
    """`ringsidectl upgrade`: it goes on, counts, and is heard of when it ends."""
    with serve(place, "--hub-commands-max=2") as r:
        root, hub = f"{place}/root", hub_of(r)
        for _ in range(2):
            assert "result" in hub.ask("spawn_agent", {"path": root})
        one = wait_for(lambda: len(started(place)) == 2 and min(started(place)), "both")
        r.ctl("upgrade")
        assert all(alive(each) for each in started(place))
        hub = hub_of(r)
        assert "hub.commands_max" in hub.ask("spawn_agent", {"path": root})["error"]
        os.kill(one, signal.SIGKILL)
        wait_for(lambda: [e["pid"] for e in r.events() if e["event"] == "program-ended"] == [one], "its end")
        assert "result" in hub.ask("spawn_agent", {"path": root})


def test_what_cannot_be_started_is_told_why_and_makes_nothing(place):
    root = f"{place}/root"
    os.symlink("/", f"{root}/out")
    os.symlink("..", f"{root}/up")
    os.mkdir(f"{root}/closed", 0o755)
    with serve(place) as r:
        hub = hub_of(r)

        def ask(path=root, **more):
            answer = hub.ask("spawn_agent", {"path": path, **more})
            assert "result" not in answer
            return answer["error"]
        assert ask(f"{root}/none") == "Path does not exist"
        for outside in ("/", "/tmp", place, f"{root}/..", f"{root}/out", f"{root}/up", f"{root}/out{root}"):
            assert ask(outside) == "Path resolves outside home directory", outside
            assert ask(outside, new_folder="x") == "Path resolves outside home directory", outside
        for wrong in ("../x", "/tmp/ringside-x", "a/../../x", "a//b", "./a", "a\nb"):
            assert ask(new_folder=wrong).startswith("Invalid path"), wrong
        # Through a link, too.
        assert ask(new_folder="up/x") == "Path resolves outside home directory"
        assert ask(new_folder="out/tmp/ringside-x") == "Path resolves outside home directory"
        assert not os.path.exists(f"{place}/x") and not os.path.exists("/tmp/ringside-x")
        if ROOT:
            assert ask(f"{root}/closed", new_folder="x") == "Failed to create directory: Permission denied"
        assert ask(command="none") == "Failed to start none: No such file or directory"
        for unknown in ("sh", "/bin/sh", "agent ", "x" * 100):
            assert ask(command=unknown).startswith("no such program"), unknown
        for params in (None, {}, [], {"path": 1}, {"path": root, "command": 1}, {"path": root, "new_folder": []}):
            assert hub.ask("spawn_agent", params)["error"] == "Missing params"
        assert not started(place)
    if ROOT:
        with Served(f"--hub-roots={place}/root", f"--hub-commands=agent={place}/agent") as r:
            assert "hub.commands_user" in hub_of(r).ask("spawn_agent", {"path": root})["error"]


def test_it_is_a_right_of_its_own(place):
    rights = {"all": "read=** append=** create=** delete=** operate=**", "list": "read=hub/roster spawn=directories",
              "both": "read=** spawn=**"}
    secrets = {name: name + "0123456789abcdef" * 2 for name in rights}
    rows = "".join(f"{name} sha256:{hashlib.sha256(secrets[name].encode()).hexdigest()} {rights[name]}\n" for name in rights)
    with with_rows(rows, f"--hub-roots={place}/root", f"--hub-commands=agent={place}/agent",
                   f"--hub-commands-user={USER if ROOT else ''}") as r:
        def hub(name):
            return hub_of(r, headers={"authorization": f"Bearer {secrets[name]}"})
        for method, params in (("list_directories", {}), ("spawn_agent", {"path": f"{place}/root"})):
            assert hub("all").ask(method, params)["error"].startswith("Unauthorized")
            assert "result" in hub("both").ask(method, params)
        assert "result" in hub("list").ask("list_directories")
        assert hub("list").ask("spawn_agent", {"path": f"{place}/root"})["error"].startswith("Unauthorized")
        wait_for(lambda: len(started(place)) == 1, "the one program")
        for one in r.hubs:
            one.close()
