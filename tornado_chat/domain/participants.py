"""Rules about the participants of a conversation."""

from collections.abc import Sequence
from itertools import pairwise

from tornado_chat.core.types import Handover, Part, Participant


def handovers(participants: Sequence[Participant]) -> list[Handover]:
    """Return the changes of the agent, oldest first. An agent that gets its conversation back is no change.

    :arg participants: of one conversation, in the order of their joining.
    """
    agents = [participant for participant in participants if participant.part is Part.AGENT]
    return [Handover(*pair) for pair in pairwise(agents) if pair[0].person != pair[1].person]
