"""Clients that generators make from ``/api/v1/openapi.json`` compile, and call the server."""

import asyncio
import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.conftest import Harness, token

HERE = Path(__file__).parent / "generated_clients"
JS = Path(__file__).parents[2] / "js"
NODE_BIN = JS / "node_modules" / ".bin"
PYTHON_BIN = Path(sys.executable).parent
HOST = token("service", "host")

TSCONFIG = {
    "compilerOptions": {
        "strict": True,
        "exactOptionalPropertyTypes": True,
        "noUncheckedIndexedAccess": True,
        "noUnusedLocals": True,
        "target": "es2022",
        "module": "nodenext",
        "lib": ["es2022", "dom", "dom.iterable"],
        "types": [],
    },
    "include": ["program.ts", "chat_api.d.ts"],
}


async def run(folder: Path, *command: str | Path) -> str:
    """Run a program in ``folder`` and return its output; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, f"{command}\n{output.decode()}"
    return output.decode()


async def save_document(harness: Harness, folder: Path) -> Path:
    path = folder / "openapi.json"
    path.write_bytes((await harness.api("GET", "/api/v1/openapi.json")).body)
    return path


@pytest.mark.slow
@pytest.mark.gen_test
async def test_a_python_client(harness: Harness, tmp_path: Path) -> None:
    """openapi-python-client makes a package without a warning; mypy accepts a program that uses it."""
    document = await save_document(harness, tmp_path)
    (tmp_path / "generator.json").write_text('{"post_hooks": []}')
    generated = await run(
        tmp_path,
        PYTHON_BIN / "openapi-python-client",
        *("generate", "--path", document, "--output-path", tmp_path / "chat_api"),
        *("--meta", "none", "--config", "generator.json", "--fail-on-warning"),
    )
    assert "WARNING" not in generated
    program = shutil.copy(HERE / "program.py", tmp_path)
    await run(tmp_path, sys.executable, "-m", "mypy", "--strict", "--config-file", "", program, "chat_api")
    await run(tmp_path, sys.executable, "-m", "compileall", "-q", "chat_api")
    assert await run(tmp_path, sys.executable, program, harness.http, HOST) == "done\n"


@pytest.mark.slow
@pytest.mark.gen_test
async def test_a_typescript_client(harness: Harness, tmp_path: Path) -> None:
    """openapi-typescript makes types, with which the compiler accepts a program on openapi-fetch."""
    assert NODE_BIN.exists(), "node_modules is missing: run scripts/test, or npm ci in tests/js"
    document = await save_document(harness, tmp_path)
    (tmp_path / "node_modules").symlink_to(JS / "node_modules")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "tsconfig.json").write_text(json.dumps(TSCONFIG))
    shutil.copy(HERE / "program.ts", tmp_path)
    await run(tmp_path, NODE_BIN / "openapi-typescript", document, "--output", "chat_api.d.ts")
    await run(tmp_path, NODE_BIN / "tsc", "--project", ".")
    assert await run(tmp_path, "node", "program.js", harness.http, HOST) == "done\n"
