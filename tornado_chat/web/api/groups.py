"""``/api/v1/groups``: the groups that a user may choose, with numbers for staff."""

from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tornado_chat.core.status import GroupStatus
from tornado_chat.core.types import Role
from tornado_chat.web.api.base import ApiHandler
from tornado_chat.web.api.operations import ApiResponse, operation
from tornado_chat.web.http.query_params import query_parameters

STAFF_NUMBER = "Only for staff."


class GroupsQuery(msgspec.Struct, frozen=True):
    language: (
        Annotated[
            Literal["zh_CN", "en"],
            Meta(description="The language of the texts; leave out for `[server] language`."),
        ]
        | None
    ) = None


class GroupNumbers(msgspec.Struct, frozen=True):
    """The present numbers and the settings of a group, for staff."""

    public: Annotated[bool, Meta(description="True if every user may choose the group.")]
    waiting: Annotated[int, Meta(description="Users in the queue of the group.", examples=[3])]
    longest_wait: Annotated[
        float, Meta(description="The longest wait of these users, in seconds.", examples=[41.5])
    ]
    serving: Annotated[int, Meta(description="Agents that serve the group, free or not.", examples=[2])]
    free: Annotated[int, Meta(description="Agents that could take a user of the group now.", examples=[0])]
    conversations: Annotated[int, Meta(description="Users of the group that have an agent.", examples=[4])]
    priority: Annotated[int, Meta(description="`[group:NAME] priority`.", examples=[10])]
    fallback: Annotated[
        str | None, Meta(description="The group whose agents help out, or null.", examples=["default"])
    ]
    fallback_after: Annotated[
        float, Meta(description="The seconds of waiting after which they do.", examples=[120.0])
    ]


class ConsentText(msgspec.Struct, frozen=True):
    """What a user has to accept before its first message to a group."""

    version: Annotated[str, Meta(description="`[group:NAME] consent_version`.", examples=["2026-01"])]
    text: Annotated[
        str, Meta(description="Plain text with line breaks.", examples=["What you write here is stored."])
    ]


class GroupItem(msgspec.Struct, frozen=True):
    """A group of agents, which a user chooses by `payload.group` of `connect`."""

    name: Annotated[str, Meta(description="The name for `connect`.", examples=["crisis"])]
    title: Annotated[str, Meta(examples=["In a crisis"])]
    text: Annotated[str, Meta(description="A sentence about the group; may be empty.", examples=[""])]
    open: Annotated[
        bool,
        Meta(description="True if an agent serves the group now, or a group that it falls back to."),
    ]
    expected_wait: Annotated[
        float | None,
        Meta(
            description=(
                "The seconds that a user who joins now is expected to wait, rounded up; 0: an agent is free. "
                "Null while too few conversations have ended for an estimate, or no agent is on duty."
            ),
            examples=[300.0],
        ),
    ] = None
    based_on: Annotated[
        int,
        Meta(description="The number of conversations that `expected_wait` rests on.", examples=[23]),
    ] = 0
    consent: (
        Annotated[ConsentText, Meta(description="Missing if there is nothing to accept.")] | UnsetType
    ) = UNSET
    numbers: Annotated[GroupNumbers, Meta(description=STAFF_NUMBER)] | UnsetType = UNSET
    serves: (
        Annotated[bool, Meta(description="True if the caller serves the group. " + STAFF_NUMBER)] | UnsetType
    ) = UNSET


class GroupPage(msgspec.Struct, frozen=True):
    items: Annotated[list[GroupItem], Meta(description="The groups, in the order of the configuration.")]
    next: Annotated[None, Meta(description="Always null: there is one page.")] = None


class GroupsHandler(ApiHandler):
    @operation(
        "list_groups",
        "List the groups of agents",
        access="Users see the groups that they may choose; all other roles see all groups with numbers.",
        query=GroupsQuery,
        responses=[ApiResponse(HTTPStatus.OK, GroupPage)],
    )
    async def get(self) -> None:
        """Without a section `[group:NAME]` there is one group, `default`. The numbers may be a second
        old. Callers that poll should wait some seconds between two requests.
        """
        identity = await self.authenticate()
        language = query_parameters(self, GroupsQuery).language or self.services.language
        registry = self.services.groups
        states = {state.name: state for state in await self.services.support.group_states()}
        is_user = identity.person.role is Role.USER
        shown = registry.of_user(identity) if is_user else registry.rules
        served = registry.rules.capacities(identity.person, identity.claims)
        items = []
        for group in shown:
            helpers = [each.group for each in registry.rules.fallbacks(group.name)]
            state = states.get(group.name) or GroupStatus(group.name, 0, 0.0, 0, 0, 0)
            form = self.services.consents.form(group.name, language)
            items.append(
                GroupItem(
                    group.name,
                    registry.title(group.name, language),
                    registry.text(group.name, language),
                    any(states[name].serving for name in (group.name, *helpers) if name in states),
                    state.expected_wait,
                    state.based_on,
                    UNSET if form is None else ConsentText(form.version, form.text),
                    UNSET
                    if is_user
                    else GroupNumbers(
                        group.is_public,
                        state.waiting,
                        state.longest_wait,
                        state.serving,
                        state.free,
                        state.conversations,
                        group.priority,
                        group.fallback,
                        group.fallback_seconds,
                    ),
                    UNSET if is_user else group.name in served,
                )
            )
        self.respond(GroupPage(items))


ROUTES: list[tuple[str, type[ApiHandler], dict[str, Any]]] = [(r"/api/v1/groups", GroupsHandler, {})]
