"""A phone's process (test_phone.py): chat_phone.py HOST:PORT FILE SESSION PROMPT... It keeps in FILE what it has and what it
wants to say, says it until that is taken, and ends when each has been answered."""

import json
import os
import sys
import threading
import time
import uuid

from chat_client import ChatClient, new_cid


def main():
    (host, port), path, session = sys.argv[1].split(":"), sys.argv[2], sys.argv[3]
    kept = {"cid": new_cid(), "cursor": 0, "outbox": [], "heard": [], "waits": [], "faults": []}
    if os.path.exists(path):
        with open(path) as file:
            kept = json.load(file)
    kept["outbox"] += [{"sessionId": session, "prompt": p, "clientMsgId": str(uuid.uuid4())} for p in sys.argv[4:]]
    kept["waits"] += [m["clientMsgId"] for m in kept["outbox"] if m["clientMsgId"] not in kept["waits"]]
    lock = threading.RLock()

    def keep():
        with open(path + ".new", "w") as file:
            json.dump(kept, file)
        os.replace(path + ".new", path)

    class Phone(ChatClient):
        """What it has heard is kept with the place behind it, before anything else is."""

        def take_event(self, where, event):
            super().take_event(where, event)
            with lock:
                kept["cursor"], kept["faults"] = event["seq"], self.faults
                chunk = json.loads(event["value"]["chunk"])
                kept["heard"].append(chunk["message"]["parts"][0]["content"])
                keep()
    keep()
    phone = Phone(lambda: (host, int(port)), kept["cid"], follow=False)
    phone.cursors = {session: kept["cursor"]}
    phone.start()
    while not phone.welcomes:
        time.sleep(0.01)
    phone.state()
    while kept["outbox"]:
        print("sent", flush=True) if len(sys.argv) > 4 else None
        status, answer = phone.post("send", kept["outbox"][0], patience=60)
        assert status == 202, answer
        with lock:
            kept["outbox"].pop(0)
            keep()
    while not all(f"to {message}" in kept["heard"] for message in kept["waits"]):
        time.sleep(0.01)
    with lock:
        kept["waits"] = []
        keep()
    phone.stop()
    print("answered", flush=True)


main()
