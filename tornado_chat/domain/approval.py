"""The rules of approvals: whose messages are held, for how long, and what happens then."""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

TRAINEE_CLAIM = "trainee"
"""The claim of an agent's token that makes all messages of the agent wait for an approval, if it is true."""


class ApprovalRules(msgspec.Struct, frozen=True):
    """What happens to the held messages of a group.

    :arg timeout_seconds: the time for the decision of a supervisor; 0: without end.
    :arg sends_expired: send a message after that time, instead of refusing it.
    """

    timeout_seconds: float
    sends_expired: bool


def needs_approval(group: str, groups: Collection[str], claims: Mapping[str, Any]) -> bool:
    """Return True if the messages of an agent with these claims are held.

    :arg group: the group of the conversation, and ``groups`` those in which all agents need an approval.
    """
    return group in groups or claims.get(TRAINEE_CLAIM) is True
