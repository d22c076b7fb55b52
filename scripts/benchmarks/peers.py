"""Other servers on the same job: messages between pairs.

They are installed from PyPI and npm into ``.peers`` of this clone. Each handles a message as its own
introduction shows; only Django Channels also stores it with its ORM, as a chat has to.
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
PEERS_FOLDER = Path(__file__).parents[2] / ".peers"
PIP_PACKAGES = ("channels>=4.2", "django>=5.1", "python-socketio>=5.12", "uvicorn[standard]>=0.32")
NPM_PACKAGES = ("ws@8", "socket.io@4")


def measure(rounds: int) -> Iterator[str]:
    python, node = _install_with_pip(), _install_with_npm()
    candidates: dict[str, Callable[[], dict[str, float]]] = {
        "stock Tornado, in memory": relay.stock_pairs,
        "counselling, durability = full": lambda: relay.counselling("storage.durability=full"),
        "Django Channels, ORM, uvicorn": lambda: _measure_websocket(
            [python, str(SERVERS_FOLDER / "channels_server.py"), "stored"]
        ),
        "Django Channels, in memory, uvicorn": lambda: _measure_websocket(
            [python, str(SERVERS_FOLDER / "channels_server.py")]
        ),
        "python-socketio, in memory, uvicorn": lambda: _measure_socketio(
            [python, str(SERVERS_FOLDER / "socketio_server.py")]
        ),
    }
    if node is not None:
        candidates["Node ws, in memory"] = lambda: _measure_websocket(
            [node, str(SERVERS_FOLDER / "ws_server.js"), str(PEERS_FOLDER)]
        )
        candidates["Socket.IO, in memory"] = lambda: _measure_socketio(
            [node, str(SERVERS_FOLDER / "socketio_server.js"), str(PEERS_FOLDER)]
        )
    title = f"peers: {relay.PAIRS} pairs, {relay.IN_FLIGHT} messages of each socket under way"
    yield from compare_rates(title, candidates, rounds)


def _measure_websocket(command: list[str]) -> dict[str, float]:
    with ServerProcess(command) as process:
        pairs = [relay.pair(f"/relay/r{n}", f"/relay/r{n}") for n in range(relay.PAIRS)]
        return relay.talk(process, pairs)


def _measure_socketio(command: list[str]) -> dict[str, float]:
    with ServerProcess(command) as process:
        return relay.talk(process, [[_socketio_socket(n), _socketio_socket(n)] for n in range(relay.PAIRS)])


def _socketio_socket(n: int) -> dict[str, Any]:
    return {
        "path": f"/socket.io/?EIO=4&transport=websocket&room=r{n}",
        "hello": ["40"],
        "ready": "40{",
        "message": "42" + json.dumps(["say", {"msg": relay.TEXT}]),
        "in_flight": relay.IN_FLIGHT,
        "count": '42["said"',
    }


def _install_with_pip() -> str:
    python = PEERS_FOLDER / "venv" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEERS_FOLDER / "venv")], check=True)
    subprocess.run([str(python), "-m", "pip", "install", "-q", *PIP_PACKAGES], check=True)
    return str(python)


def _install_with_npm() -> str | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        sys.stderr.write(
            "Node.js is missing (Debian's packages nodejs and npm): its two servers are left out.\n"
        )
        return None
    PEERS_FOLDER.mkdir(exist_ok=True)
    subprocess.run(
        [npm, "install", "--silent", "--no-save", "--prefix", str(PEERS_FOLDER), *NPM_PACKAGES], check=True
    )
    return node
