"""Workers that are closed in: what is in force, said by the kernel and by ringsidectl; what each part denies is in supervisor/sandbox_test.c
and common/worker/seccomp_test.c."""

import os

import pytest

from ringside import Ringside, wait_for


def kernel_says(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        fields = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
    return fields["NoNewPrivs"], fields["Seccomp"]


def inherited():
    return kernel_says(os.getpid())


def roles(r):
    return {w["name"]: (w["sandbox"], kernel_says(w["pid"])) for w in r.status()["workers"]}


def test_who_is_closed_in():
    with Ringside(workers=2, bridge=1) as r:
        wait_for(lambda: len(r.status()["workers"]) == 3 and r.request("GET", "/readyz")[0] == 200, "the bridge")
        assert roles(r) == {name: (["landlock", "seccomp"], ("1", "2")) for name in ("sse-0", "sse-1", "bridge-0")}
        text = r.ctl("status")[0]
        for part in ("landlock", "seccomp"):
            assert f"\n{part}: sse-0, sse-1, bridge-0\n" in text
        # It is so for who comes later as well.
        pid = r.worker("sse-1")["pid"]
        r.kill(pid)
        wait_for(lambda: r.worker("sse-1")["pid"] not in (0, pid) and r.worker("sse-1")["state"] == "ready", "another")
        assert roles(r)["sse-1"] == (["landlock", "seccomp"], ("1", "2"))


def test_off_and_on_by_reload():
    with Ringside(config="sandbox: off\n") as r:
        assert roles(r) == {"sse-0": ([], inherited())}
        assert "seccomp" not in r.ctl("status")[0]
        r.write_config("sandbox: required\n")
        r.ctl("reload")
        wait_for(lambda: r.worker("sse-0")["sandbox"] == ["landlock", "seccomp"], "the restart")
        assert roles(r)["sse-0"][1] == ("1", "2")
        assert r.request("PUT", "/v1/stream/a", b"x")[0] == 201


def test_a_word_that_is_none():
    with pytest.raises(AssertionError, match="sandbox.*must be auto, required or off"):
        with Ringside("--sandbox=maybe"):
            pass


def test_files_of_other_places(tmp_path):
    """The challenges lie in a directory that is made, removed and made again, and in one that is somebody else's by a link."""
    web = tmp_path / "web"
    secret = tmp_path / "secret"
    web.mkdir()
    secret.write_text("nobody's business")
    challenges = web / ".well-known" / "acme-challenge"
    path = "/.well-known/acme-challenge/token"
    with Ringside(f"--http-acme-dir={challenges}") as r:
        for text in (b"one", b"two"):
            challenges.mkdir(parents=True)
            (challenges / "token").write_bytes(text)
            assert r.request("GET", path)[::2] == (200, text)
            (challenges / "token").unlink()
            challenges.rmdir()
            challenges.parent.rmdir()
        # Through a link of a directory above the door would be open, without the sandbox.
        os.symlink(tmp_path, web / ".well-known")
        os.makedirs(tmp_path / "acme-challenge")
        (tmp_path / "acme-challenge" / "token").write_bytes(b"three")
        assert r.request("GET", path)[0] == 404
        assert b"nobody" not in r.request("GET", "/.well-known/acme-challenge/../../secret")[2]
