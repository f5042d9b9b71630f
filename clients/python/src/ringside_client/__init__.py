"""Follows, writes and feeds a Ringside, with nothing but the standard library.

    from ringside_client import Server

    server = Server("http://127.0.0.1:4437")
    for message in server.follow("feeds/*/results", start="start"):
        print(message.stream, message.json()["winnerName"])

Whatever is repeated here counts once, and whatever is followed is resumed where it was: a server may be
restarted and its workers killed at any moment, and nothing is missed or given twice.
"""

from .agent import Agent, Channel, Roster
from .backoff import Backoff
from .conversation import Conversation, Item, Items, Lease, Reply
from .errors import Closed, Fenced, Refused, RingsideError, Unanswered
from .events import Event, EventParser, EventSource
from .follow import Follower, Message, PollFollower, Reset
from .server import Answer, Server
from .source import KeepAlive, Source
from .stream import NOW, START, Head, Piece, PollReader, Producer, Reader, Stream
from .websocket import WebSocket, WebSocketClosed

__all__ = ["NOW", "START", "Agent", "Answer", "Backoff", "Channel", "Closed", "Conversation", "Event", "EventParser",
           "EventSource", "Fenced", "Follower", "Head", "Item", "Items", "KeepAlive", "Lease", "Message", "Piece", "PollFollower",
           "PollReader", "Producer", "Reader", "Refused", "Reply", "Reset", "RingsideError", "Roster", "Server", "Source",
           "Stream", "Unanswered", "WebSocket", "WebSocketClosed"]
