"""``scripts/attack --quick``: no attack gets in, and none does harm."""

import asyncio
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LAST_LINE = re.compile(r"(\d+) tries, 0 got in, 0 did harm")


@pytest.mark.slow
@pytest.mark.gen_test(timeout=1800)
async def test_no_attack_gets_in_or_does_harm() -> None:
    attack = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "scripts.attacks", "--quick", "--seed", "1"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await attack.communicate()
    text = output.decode()
    last = LAST_LINE.fullmatch(text.splitlines()[-1])
    assert last, text
    assert int(last[1]) > 2000
    assert attack.returncode == 0, text
