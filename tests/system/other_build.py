"""Another build of the programs, as far as those that run can tell: their bytes with another version and another table of
messages, so that the two do not talk."""

import os
import shutil

VERSION, OTHER = b"0.1.0\x00", b"0.1.9\x00"
# In the text that is hashed for HELLO; DRAIN is the same in every release.
TABLE, CHANGED = b"9:log_reopen<ROLE_SUPERVISOR", b"9:log_reopem<ROLE_SUPERVISOR"


def make(r, name="other", changed=True):
    """Beside those of `r`; returns the supervisor's path."""
    old, new = os.path.dirname(r.program), os.path.join(r.dir, name)
    os.mkdir(new)
    for program in os.listdir(old):
        with open(os.path.join(old, program), "rb") as file:
            data = file.read()
        if program in ("ringside", "ringsidectl"):
            assert VERSION in data
            data = data.replace(VERSION, OTHER)
        if changed and program != "ringsidectl":
            assert data.count(TABLE) == 1, program
            data = data.replace(TABLE, CHANGED)
        write(os.path.join(new, program), data)
    return os.path.join(new, "ringside")


def write(path, data, mode=0o755):
    """In the place of what is there, as a package does it: whoever has the former one open keeps it."""
    with open(path + ".new", "wb") as file:
        file.write(data)
    os.chmod(path + ".new", mode)
    os.rename(path + ".new", path)


def install(r, source):
    """Over the programs that run."""
    old, new = os.path.dirname(r.program), os.path.dirname(source)
    for program in os.listdir(new):
        shutil.copy(os.path.join(new, program), os.path.join(old, program + ".new"))
        os.rename(os.path.join(old, program + ".new"), os.path.join(old, program))
