"""clients/python as it stands in the tree: what is followed, written and posted here goes through it."""

import os
import sys

CLIENT = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "clients/python")
sys.path.insert(0, os.path.join(CLIENT, "src"))

from ringside_client import *  # noqa: E402,F401,F403
