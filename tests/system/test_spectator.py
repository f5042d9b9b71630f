"""What spectators see of a feed: its own stream, later by feeds.spectator_delay, without the betting services' internals;
who sees it as it happens; and the original's public surface."""

import json
import os
import signal
import subprocess
import time

import pytest

from duel_game import Game, agents, frames_of
from event_source import EventSource
from ringside import Ringside, wait_for
from test_rights import Rows, row, secret
from test_rows import ENVIRONMENT, ROW
from test_standings import duel, fighter, open_game

SHORT = ("--duel-resolution=80ms", "--duel-grace=100ms")
HIDDEN = ("duelKey", "seed", "replayHash")
FEED = ("--feeds-source-driven=game", "--feeds-scheduled=", "--bet-sync-feed=game", *SHORT)
ROOT = row("root", "read=/** append=** create=** delete=** metrics=/metrics post=game view=** operate=/v1/**")


def told(r, feed="game"):
    status, _, body = r.request("GET", f"/v1/stream/feeds/{feed}/spectator?offset=-1")
    return json.loads(body) if status == 200 else []


def in_step(r, feed="game"):
    """Once spectators have been told of everything: both streams."""
    def both():
        frames, seen = frames_of(r, feed), told(r, feed)
        return frames and seen and frames[-1]["seq"] == seen[-1]["seq"] and (frames, seen)
    return wait_for(both, "what spectators are told")


@pytest.fixture(scope="module")
def ringside():
    with Ringside(*FEED, workers=2, bridge=1) as r:
        yield r


def test_every_frame_without_internals(ringside):
    game = open_game(ringside)
    wait_for(lambda: told(ringside), "the first frame")
    first = told(ringside)[0]["seq"]
    duel(game, "ann", "bob", "ann")
    duel(game, "ann", "bob", "cancelled")
    frames, seen = in_step(ringside)
    frames = [f for f in frames if f["seq"] >= first]
    assert [f["seq"] for f in seen] == [f["seq"] for f in frames]
    for frame, mine in zip(frames, seen):
        assert not set(HIDDEN) & set(mine)
        assert set(mine["rendererHealth"]) == {"ready", "degradedReason", "updatedAt"}
        health = mine.pop("rendererHealth")
        assert all(frame["rendererHealth"][name] == health[name] for name in health)
        assert all(frame[name] == value for name, value in mine.items())
    assert json.loads(ringside.request("GET", "/v1/feeds/game/spectator")[2])["seq"] == frames[-1]["seq"]
    assert ringside.request("GET", "/v1/feeds/nothing/spectator")[0] == 404


def test_where_a_frame_begins(ringside):
    """A duel is read from where it began, not from the feed's beginning: what stands behind any frame is found."""
    game = open_game(ringside)
    for _ in range(3):
        duel(game, "ann", "bob", "ann")
    _, seen = in_step(ringside)
    numbers = [frame["seq"] for frame in seen]
    for seq in (0, numbers[0], numbers[1], numbers[len(numbers) // 2], numbers[-2]):
        status, _, body = ringside.request("GET", f"/v1/feeds/game/spectator?behind={seq}")
        offset = json.loads(body)["offset"]
        read = json.loads(ringside.request("GET", f"/v1/stream/feeds/game/spectator?offset={offset}")[2])
        assert status == 200 and [f["seq"] for f in read][0] == max(numbers[0], seq + 1), seq
    for bad in ("x", "", "-1"):
        assert ringside.request("GET", f"/v1/feeds/game/spectator?behind={bad}")[0] == 400
    assert ringside.request("GET", "/v1/feeds/nothing/spectator?behind=1")[0] == 404


def test_each_is_told_once_over_kills():
    with Ringside(*FEED, "--worker-restart-delay-min=10ms", workers=1, bridge=1) as r:
        game = open_game(r)
        wait_for(lambda: told(r), "the first frame")
        for _ in range(5):
            duel(game, "ann", "bob", "bob")
            os.kill(r.worker("bridge-0")["pid"], signal.SIGKILL)
        duel(game, "ann", "bob", "draw")
        frames, seen = in_step(r)
        numbers = [f["seq"] for f in seen]
        assert numbers == list(range(numbers[0], frames[-1]["seq"] + 1))


def test_state_and_what_is_around_it(ringside):
    game = open_game(ringside)
    duel(game, "ann", "bob", "ann")
    game.post("cycle", agent1=fighter("ann"), agent2=fighter("bob"))
    name = game.state()["duel"]["duelId"]
    game.post("scene", duelId=name, scene={"cameraTarget": "bob", "agents": {"ann": {
        "inventory": [{"item": "sword"}], "monologues": [{"text": "hm"}, {"text": "so"}]}}})
    in_step(ringside)

    def get(path):
        status, _, body = ringside.request("GET", "/api/streaming/" + path)
        assert status == 200, (path, body)
        return json.loads(body)
    state = get("state")
    assert state["type"] == "STREAMING_STATE_UPDATE" and state["cameraTarget"] == "bob"
    cycle = state["cycle"]
    assert (cycle["phase"], cycle["duelId"]) == ("ANNOUNCEMENT", name)
    assert cycle["agent1"]["id"] == "ann" and cycle["agent1"]["inventory"] == [{"item": "sword"}]
    assert cycle["phaseEndTime"] == cycle["betCloseTime"]
    assert [entry["characterId"] for entry in state["leaderboard"]][0] == "ann"
    assert get("leaderboard")["leaderboard"] == state["leaderboard"]
    details = get("leaderboard/details?historyLimit=1")
    assert len(details["recentDuels"]) == 1 and details["recentDuels"][0]["winnerId"] == "ann"
    assert details["cycle"]["duelId"] == name
    context = get("duel-context")
    assert context["type"] == "STREAMING_DUEL_CONTEXT"
    assert context["cycle"]["agent1"]["monologues"] == [{"text": "hm"}, {"text": "so"}]
    assert get("agent/ann/inventory") == {"characterId": "ann", "inventory": [{"item": "sword"}], "count": 1}
    assert get("agent/ann/monologues?limit=1") == {"characterId": "ann", "thoughts": [{"text": "hm"}], "count": 1}
    assert get("agent/bob/inventory")["count"] == 0
    assert get("config")["publicDelayMs"] == 0 and get("config")["enabled"]
    assert get("rtmp/status")["active"] is False and get("capture/status")["browsers"] == 0
    assert get("metrics")["sse"]["replay"]["latestSeq"] == state["seq"]
    assert ringside.request("GET", "/api/streaming/agent/ann/secrets")[0] == 404
    assert ringside.request("GET", "/api/streaming/other")[0] == 404
    status, headers, body = ringside.request("GET", "/api/streaming/state?feed=nothing")
    assert status == 503 and json.loads(body)["error"] == "Streaming mode not active"
    game.post("abort", duelId=name, reason="test")


def test_events_from_a_cursor(ringside):
    game = open_game(ringside)
    duel(game, "ann", "bob", "bob")
    frames, seen = in_step(ringside)
    oldest, latest = seen[0]["seq"], seen[-1]["seq"]

    def numbers(events, name):
        return [json.loads(text)["seq"] for text in events.messages(name)]
    for query, name, expected in (
            ("", "state", [latest]), (f"since={latest - 2}", "state", [latest - 1, latest]),
            ("since=0", "state", [latest]), ("since=x", "state", [latest]),
            (f"since={latest + 5}", "reset", [latest]), (f"since={oldest - 1}", "state", [f["seq"] for f in seen])):
        events = EventSource(ringside, query, path="/api/streaming/state/events")
        if oldest == 1 and query == "since=0":
            expected = [latest]
        wait_for(lambda: numbers(events, name) == expected, f"{query}: {expected}")
        events.stop()
    events = EventSource(ringside, f"since={latest}", path="/api/streaming/state/events")
    duel(game, "ann", "bob", "draw")
    frames, seen = in_step(ringside)
    wait_for(lambda: numbers(events, "state") == list(range(latest + 1, frames[-1]["seq"] + 1)), "what comes")
    assert events.last_id == str(frames[-1]["seq"])
    events.stop()
    nothing = EventSource(ringside, "feed=nothing", path="/api/streaming/state/events")
    wait_for(lambda: nothing.messages("unavailable"), "why there is nothing")
    nothing.stop()


def test_frames_take_a_right_of_their_own(tmp_path):
    rows = [ROOT, row("viewer", "read=/v1/feeds/game/**,/v1/feeds/game,feeds/game/**"),
            row("bets", "frames=game read=feeds/game/frames,/v1/feeds/game")]
    with Rows(tmp_path, rows, *FEED, bridge=1) as r:
        wait_for(lambda: r.status(secret("viewer"), "GET", "/v1/feeds/game/spectator") == 200, "the feed")
        frames = "/v1/stream/feeds/game/frames"
        assert r.status(secret("viewer"), "GET", frames) == 403
        assert b"takes the right frames" in r.ask(secret("viewer"), "GET", frames)[2]
        assert r.status(secret("viewer"), "GET", "/v1/stream/feeds/game/fr%61mes") == 403
        assert r.status(secret("viewer"), "GET", "/v1/events?stream=feeds/game/frames") == 403
        assert r.status(secret("viewer"), "GET", "/v1/stream/feeds/game/spectator") == 200
        assert r.status(secret("viewer"), "GET", "/v1/stream/feeds/game/results") in (200, 404)
        assert r.status(secret("bets"), "GET", frames) == 200
        # The newest frame is that which who asks may see.
        assert "seed" not in json.loads(r.ask(secret("viewer"), "GET", "/v1/feeds/game")[2])
        assert "seed" in json.loads(r.ask(secret("bets"), "GET", "/v1/feeds/game")[2])
        # A pattern takes in what may be read, and nothing of a fork's source is given away.
        assert r.status(secret("root"), "PUT", "/v1/stream/copy", headers={
            "stream-forked-from": frames, "content-type": "application/json"}) == 403
        assert r.status(None, "GET", "/api/streaming/state") == 401


def test_the_old_way(tmp_path):
    with Rows(tmp_path, [row("viewer", "read=/v1/feeds/**,feeds/**")], *FEED, "--feeds-frames-by-read=true", bridge=1) as r:
        wait_for(lambda: r.status(secret("viewer"), "GET", "/v1/stream/feeds/game/frames") == 200, "the feed")
        assert "seed" in json.loads(r.ask(secret("viewer"), "GET", "/v1/feeds/game")[2])


def test_nothing_is_early_where_there_is_a_delay(tmp_path):
    """By its right to read and view, nobody learns sooner than by the delay how a duel ended."""
    delay = 3.0
    rows = [ROOT, row("viewer", "read=/** view=/**"), row("bets", "frames=game read=/**"), row("live", "frames=* read=/**")]
    with Rows(tmp_path, rows, *FEED, "--feeds-spectator-delay=3s", bridge=1) as r:
        wait_for(lambda: r.status(secret("bets"), "GET", "/v1/stream/feeds/game/frames") == 200, "the feed")
        game = Game(r.ringside, "game", token=secret("root"), epoch=int(time.time() * 1000))
        name = duel(game, "ann", "bob", "ann")
        ended = time.time()  # not before it did
        for path in ("/v1/stream/feeds/game/frames", "/v1/stream/feeds/game/results", "/v1/stream/feeds/game/odds",
                     "/v1/stream/feeds/game/attestations", "/v1/stream/feeds/game/audit", "/v1/duels", "/v1/duels/game",
                     "/stream/x/frame.jpg", "/v1/events?stream=feeds/game/results"):
            assert r.status(secret("viewer"), "GET", path) == 403, path
        assert r.status(None, "GET", f"/v1/oracle/{name}") == 404
        assert json.loads(r.ask(secret("live"), "GET", f"/v1/markets/{name}")[2])["outcome"] == "win"
        assert r.status(secret("live"), "GET", f"/v1/oracle/{name}") == 200
        assert r.status(None, "GET", "/v1/oracle/keys") == 200
        assert r.status(secret("bets"), "GET", "/v1/stream/feeds/game/results") == 200
        assert r.status(secret("root"), "PUT", "/v1/stream/__ds/subscriptions/s", json.dumps(
            {"type": "pull-wake", "pattern": "feeds/**", "wake_stream": "wakes"}).encode(),
            {"content-type": "application/json"}) == 403

        def ask(path):
            status, _, body = r.ask(secret("viewer"), "GET", path)
            return json.loads(body) if status == 200 else None

        def known():
            page = ask("/v1/feeds/game/duels")
            board = ask("/v1/feeds/game/standings")
            newest = ask("/v1/feeds/game")
            state = ask("/api/streaming/state")
            leaders = ask("/api/streaming/leaderboard")
            market, attested = ask(f"/v1/markets/{name}"), ask(f"/v1/oracle/{name}")
            told = {of: ask(f"/v1/stream/feeds/game/spectator/{of}?offset=-1") for of in ("results", "odds", "attestations")}
            listed = [m for m in ask("/v1/markets")["markets"] if m["outcome"]]
            assert not any("seed" in result for result in told["results"] or [])
            return [bool(page and page["duels"]), bool(board and board["standings"]),
                    bool(leaders and leaders["leaderboard"]), bool(newest and newest["winnerId"]),
                    bool(state and state["cycle"]["winnerId"]), bool(market and market["outcome"]), bool(attested), bool(listed),
                    bool(told["results"]), bool(told["attestations"]), any(line["payout"] for line in told["odds"] or [])]
        end = json.loads(r.ask(secret("bets"), "GET", "/v1/stream/feeds/game/results?offset=-1")[2])[-1]["emittedAt"] / 1000
        first = {}
        while not {0, 1, 2, 5, 6, 7, 8, 9, 10} <= set(first):
            before = time.time()
            for i, is_known in enumerate(known()):
                if is_known and i not in first:
                    first[i] = time.time()
                    assert first[i] >= end + delay, (i, first[i] - end)
            assert before < ended + 60
            time.sleep(0.02)
        spectator = "/v1/stream/feeds/game/spectator?offset=-1"
        wait_for(lambda: any(f["winnerId"] == "ann" for f in json.loads(r.ask(secret("viewer"), "GET", spectator)[2])),
                 "the end, as spectators see it")
        assert time.time() >= end + delay
        # Who sees it as it happens has had it all along.
        assert json.loads(r.ask(secret("bets"), "GET", "/v1/feeds/game/standings")[2])["duels"] == 1


def test_video_is_listed_when_it_is_old_enough(tmp_path):
    """A playlist as it stood then, by the age of its segments; whoever may see the feed as it happens has all of it."""
    video = tmp_path / "video"
    video.mkdir()
    video.chmod(0o755)
    rows = [ROOT, row("viewer", "view=/v1/hls/**"), row("bets", "frames=game view=/v1/hls/**")]
    with Rows(tmp_path, rows, *FEED, "--feeds-spectator-delay=1h", "--capture-workers=1", f"--capture-output-dir={video}") as r:
        r.ringside.stop()
        put = [ROW, r.ringside.data_dir, "put", "output/game/web", json.dumps({"added": False, "digest": "x", "hls": str(video)})]
        assert subprocess.run(put, env=ENVIRONMENT).returncode == 0
        names, now = [f"{i:09d}.ts" for i in range(12)], time.time()
        for i, name in enumerate(names):  # the last of them a moment ago
            (video / name).write_bytes(name.encode() * 10)
            os.utime(video / name, (now - 600 * (11 - i), now - 600 * (11 - i)))
        head = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{}\n"
        (video / "index.m3u8").write_text(head.format(0) + "".join(f"#EXTINF:2.0,\n{name}\n" for name in names))
        r.ringside.start()

        def get(who, name):
            status, headers, body = r.ask(secret(who), "GET", f"/v1/hls/game/{name}")
            return (status, body.decode())
        status, playlist = get("bets", "index.m3u8")
        assert status == 200 and [line for line in playlist.splitlines() if line.endswith(".ts")] == names
        status, playlist = get("viewer", "index.m3u8")
        assert status == 200 and playlist == head.format(0) + "".join(f"#EXTINF:2.0,\n{name}\n" for name in names[:6])
        assert [get("viewer", name)[0] for name in names] == [200] * 6 + [404] * 6
        assert [get("bets", name)[0] for name in names] == [200] * 12
        for name in names:
            os.utime(video / name, (now, now))
        assert get("viewer", "index.m3u8")[0] == 404
