"""The kinds of attacks, one module each; each has a sequence ``ATTACKS``."""

from collections.abc import Sequence

from scripts.attacks.attack import Attack
from scripts.attacks.kinds import (
    bombs,
    descriptors,
    floods,
    fuzz,
    greedy,
    numbers,
    rights,
    slow,
    smuggling,
    socket_rights,
    texts,
    time_limits,
    tokens,
)

MODULES = (
    tokens,
    rights,
    socket_rights,
    numbers,
    time_limits,
    smuggling,
    slow,
    greedy,
    floods,
    bombs,
    texts,
    fuzz,
    descriptors,
)

ATTACKS: Sequence[Attack] = [attack for module in MODULES for attack in module.ATTACKS]
"""All attacks, in the order of the table."""
