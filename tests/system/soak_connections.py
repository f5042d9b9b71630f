"""Stable connections for long: clients that watch, state, break, come back and take over, and workers that are killed, at random
and many; then a phone in its network, in real times. Run it by scripts/soak connections."""

import argparse
import os
import subprocess
import sys
import time

from test_connections import torture

REAL = "20"  # of test_phone.py: a minute is a minute


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actions", type=int, default=10000)
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--kill-every", type=int, default=100)
    parser.add_argument("--operate-every", type=int, default=150)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--no-phone", action="store_true")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    events, kills = torture(options.actions, options.clients, options.sessions, options.kill_every, options.seed,
                            options.operate_every)
    print(f"{options.actions} actions, {kills} kills, {events} events: none lost, none twice, nothing left", flush=True)
    if options.no_phone:
        return 0
    return subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_phone.py"],
                          env={**os.environ, "PHONE_SCALE": REAL}, check=False).returncode


sys.exit(main())
