"""What people would take instead, on the same job: messages between pairs.

They are installed from PyPI and npm into ``.peers`` of this clone, for this purpose only. What they do for a
message is what their own introductions show; only Django Channels stores it, by its ORM, as a chat has to.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tornado_chat.bench import relay
from tornado_chat.bench.comparison import compare_rates
from tornado_chat.bench.servers import ServerProcess

SERVERS_FOLDER = Path(__file__).parent / "peer_servers"
PEERS = Path(__file__).parents[2] / ".peers"
PIP = ("channels>=4.2", "django>=5.1", "python-socketio>=5.12", "uvicorn[standard]>=0.32")
NPM = ("ws@8", "socket.io@4")


def lines(rounds: int) -> Iterator[str]:
    python, node = _pip(), _npm()
    candidates: dict[str, Callable[[], dict[str, float]]] = {
        "stock Tornado, in memory": relay.stock_pairs,
        "counselling, durability = full": lambda: relay.counselling("storage.durability=full"),
        "Django Channels, ORM, uvicorn": lambda: _plain(
            [python, str(SERVERS_FOLDER / "channels_server.py"), "stored"]
        ),
        "Django Channels, in memory, uvicorn": lambda: _plain(
            [python, str(SERVERS_FOLDER / "channels_server.py")]
        ),
        "python-socketio, in memory, uvicorn": lambda: _socketio(
            [python, str(SERVERS_FOLDER / "socketio_server.py")]
        ),
    }
    if node is not None:
        candidates["Node ws, in memory"] = lambda: _plain(
            [node, str(SERVERS_FOLDER / "ws_server.js"), str(PEERS)]
        )
        candidates["Socket.IO, in memory"] = lambda: _socketio(
            [node, str(SERVERS_FOLDER / "socketio_server.js"), str(PEERS)]
        )
    title = f"peers: {relay.PAIRS} pairs, {relay.IN_FLIGHT} messages of each socket under way"
    yield from compare_rates(title, candidates, rounds)


def _plain(command: list[str]) -> dict[str, float]:
    with ServerProcess(command) as process:
        pairs = [relay.pair(f"/relay/r{n}", f"/relay/r{n}") for n in range(relay.PAIRS)]
        return relay.talk(process, pairs, False)


def _socketio(command: list[str]) -> dict[str, float]:
    with ServerProcess(command) as process:
        return relay.talk(process, [[_end(n), _end(n)] for n in range(relay.PAIRS)], False)


def _end(n: int) -> dict[str, Any]:
    return {
        "path": f"/socket.io/?EIO=4&transport=websocket&room=r{n}",
        "hello": ["40"],
        "ready": "40{",
        "message": "42" + json.dumps(["say", {"msg": relay.TEXT}]),
        "in_flight": relay.IN_FLIGHT,
        "count": '42["said"',
    }


def _pip() -> str:
    python = PEERS / "venv" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEERS / "venv")], check=True)
    subprocess.run([str(python), "-m", "pip", "install", "-q", *PIP], check=True)
    return str(python)


def _npm() -> str | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        sys.stderr.write("There is no Node.js here (Debian's packages nodejs and npm): without its two.\n")
        return None
    PEERS.mkdir(exist_ok=True)
    subprocess.run([npm, "install", "--silent", "--no-save", "--prefix", str(PEERS), *NPM], check=True)
    return node
