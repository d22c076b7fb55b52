"""Random requests by the API's own description: no internal error, and no undocumented response."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from tests.conftest import token
from tests.e2e.conftest import Process

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "use_after_free",
    "ignored_auth",
)

EXPECTED = (" tornado_chat.services.auth.login_throttle many attempts to sign in, slowed down ",)


@pytest.mark.slow
@pytest.mark.gen_test(timeout=240)
async def test_schemathesis_finds_no_error(process: Process, tmp_path: Path) -> None:
    # No network is an operator's network, from which requests would be accepted without a token.
    await process.start("auth.guests=on", "limits.guests_per_minute=1000", "web.ops_networks=192.0.2.0/24")
    session = await process.harness.session()
    await process.harness.record(session)
    # The shared response for all other errors would allow every status.
    document = json.loads((await process.harness.api("GET", "/api/v1/openapi.json")).body)
    for verbs in document["paths"].values():
        for described in verbs.values():
            described["responses"].pop("default", None)
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    fuzzer = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        *("run", "openapi.json", "--url", process.url),
        *("--header", f"Authorization: Bearer {token('service', 'host')}"),
        *("--checks", ",".join(CHECKS), "--max-examples", "30", "--seed", "1", "--continue-on-failure"),
        *("--generation-database", "none", "--warnings", "off", "--no-color"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await fuzzer.communicate()
    await process.stop()
    process.expected += EXPECTED
    assert fuzzer.returncode == 0, said.decode()
