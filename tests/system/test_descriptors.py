"""Who holds which descriptor in a running instance: a child has what it was given and nothing else."""

import os
import shutil
import tempfile

from browsers import BrowserTest, family, kind, program, wait_for

STORE = ("data.mdb", "lock.mdb", "ring", "control", "open.lock", "ringside.lock")


def descriptors(pid):
    """{number: what it is}; None: the process has ended meanwhile."""
    try:
        found = {}
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
            except FileNotFoundError:
                pass
        return found
    except (FileNotFoundError, ProcessLookupError):
        return None


def survives_exec(pid, fd):
    with open(f"/proc/{pid}/fdinfo/{fd}") as info:
        flags = next(line.split()[1] for line in info if line.startswith("flags:"))
    return not int(flags, 8) & os.O_CLOEXEC


class DescriptorsTest(BrowserTest):
    def setUp(self):
        self.where = tempfile.mkdtemp(prefix="ringside-video-")
        self.addCleanup(shutil.rmtree, self.where, True)

    def test_a_child_holds_what_it_was_given_and_nothing_else(self):
        outputs = f"--capture-outputs=hls=hls:{self.where},rec=file:{self.where}/x.mkv"
        with self.capture("arena.html?phase=FIGHTING", outputs, bridge=1) as r:
            self.healthy(r)
            for name in ("index.m3u8", "x.mkv"):
                wait_for(lambda: os.path.exists(f"{self.where}/{name}"), name)
            workers = {w["name"]: w["pid"] for w in r.status()["workers"]}
            self.supervisor_and_workers(r, workers)
            self.children_of_capture(r, workers)

    def supervisor_and_workers(self, r, workers):
        own = descriptors(r.process.pid)
        self.assertFalse([fd for fd in own if fd > 2 and survives_exec(r.process.pid, fd)])
        self.assertFalse([path for path in own.values() if path.endswith(STORE[:4])])
        for name, pid in workers.items():
            held = descriptors(pid)
            self.assertFalse([path for path in held.values()
                              if path.startswith(r.run_dir) or path.endswith("ringside.lock")], name)
            # Only the listening sockets are anybody's but its own.
            shared = {path for path in held.values() if path.startswith("socket:")} & set(own.values())
            self.assertEqual(len(shared), name.startswith("sse"), name)
            self.assertFalse([path for fd, path in held.items()
                              if path.endswith(STORE) and survives_exec(pid, fd)], name)

    def children_of_capture(self, r, workers):
        above = {path for pid in (r.process.pid, *workers.values()) for path in descriptors(pid).values()
                 if path.startswith(("socket:", "pipe:", "/memfd:ringside-counters", r.data_dir, r.run_dir))}
        seen, families = set(), []
        keepers = [pid for pid in family(workers["capture-0"]) if program(pid) == "ringside-capture"]
        for keeper in set(keepers) - {workers["capture-0"]}:
            self.assertEqual({path for fd, path in (descriptors(keeper) or {}).items() if fd > 2},
                             {"anon_inode:[signalfd]"})
            held = {}
            for pid in family(keeper):
                what = kind(pid) or program(pid)
                held[what] = held.get(what, set()) | set((descriptors(pid) or {}).values())
                self.assertFalse(above & held[what], what)
            seen |= set(held)
            families.append({path for paths in held.values() for path in paths if path.startswith(("socket:", "pipe:"))})
        self.assertLessEqual({"ringside-capture", "ffmpeg", "browser", "renderer"}, seen)
        # Nor has one child what another one was given.
        self.assertEqual(len(set().union(*families)), sum(map(len, families)))
