"""The public names of the API documents: a refactoring of the server must not change a generated client."""

import json
import re
from typing import Any

import msgspec
import pytest

from tests.conftest import Harness
from tornado_chat.core.status import Status
from tornado_chat.web.api.schemas import OpenSession
from tornado_chat.web.api_docs import schemas
from tornado_chat.web.api_docs.names import SCHEMA_NAMES

READABLE = re.compile(r"([A-Z][a-z]+)+")

# Public: a change of a name breaks clients that were generated before. Add names, do not change them.
HTTP_SCHEMAS = """
    HandoverCreate HandoverOffer HandoverTarget
    ApprovalCreate HeldMessage HeldMessagePage LeftMessage LeftMessageHandling LeftMessagePage
    Account AccountToken Agent AppointmentChanged Consent ConversationStatus
    ConversationSummary Credentials DatabaseStatus EndReason Group GroupConsent GroupNumbers
    GroupPage GroupStatus GuestToken Handover Health HistoryStatus Message
    MessagePage MessageRates NamedPerson NewConversation Notification NotificationCreate
    NotificationCreated NotificationPage ParticipantStatus PluginStatus Problem ProcessStatus
    QueueOverview QueueStatus QueuedUserStatus Rating RefusalCreate Revocation RevocationCreate
    RevocationPage Sender
    ServerStatus Session SessionCreate SessionDetails SessionPage SessionState SessionSummary
    SignedInAccount
    SupervisionCreate SupervisionCreated SupervisionDetails
    SupervisionRecord SupervisionTranscript SupportConversation
    SupportConversationPage SupportConversationDetails SupportConversationState SupportMessage
    SupportParticipant SupportTranscript ParticipantPart TakeOver
    SupportPriority SupportPriorityChange
    SupportMessagePage SupportStatus Transcript WaiterOverview WaiterStatus WaiterSummary WaitingUser
"""

OPERATIONS = """
    accept_conversation_offer accept_session_offer decline_conversation_offer decline_session_offer
    admit_guest approve_message call_supervisor call_supervisor_to_conversation end_session
    export_conversation
    join_conversation join_session leave_conversation leave_session take_over_conversation take_over_session
    get_conversation export_session export_supervision get_account get_asyncapi
    get_health get_metrics get_openapi get_readiness get_session get_status get_supervision
    get_support_status list_conversation_messages list_conversations list_groups list_left_messages
    list_notifications mark_left_message_handled
    list_revocations list_session_messages list_sessions list_supervision_messages make_own_token notify
    get_conversation_offer get_session_offer offer_conversation offer_session
    withdraw_conversation_offer withdraw_session_offer
    open_session list_approvals refuse_message
    prioritise_conversation rate_session read_notification revoke sign_in sign_out undo_revocation
"""

TAGS = {
    "Sessions",
    "Approvals",
    "Notifications",
    "Staff",
    "Groups",
    "Guest",
    "Descriptions",
    "Support",
    "Revocations",
    "Status",
    "Service",
    "Supervisions",
}

SOCKET_SCHEMAS = """
    AcceptOfferPayload DeclineOfferPayload HandoverOffer
    ApprovalPayload HeldMessage AcceptSuccessPayload DisconnectPayload
    AppointmentChanged AuthPayload AuthSuccessPayload ConnectPayload ConnectQueuePayload ConsentAnswer
    ConsentAnswerPayload ConsentDecision ConsentPayload ConsentSuccessPayload ConsentText
    ConnectionPayload DisconnectUserPayload ErrorPayload ExpectedWait
    GetHistoryPayload Handover MarkReadPayload
    Message MessageHistoryPayload MessageImagePayload MessageStoredPayload MessageTextPayload
    NamedPerson NewConversation ObservingPayload PlainAlert RatePayload RateSuccessPayload ReadPayload
    SessionHandover SupervisorPayload
    ReadySuccessPayload ReceiptPayload Sender SupportHistoryMessage TransferPayload
    TransferSuccessPayload TypingPayload
"""
"""Without the schemas of whole frames, which are named after channel and kind."""

FRAMES = {
    "chat.in": "say typing read history token wait consent accept decline",
    "chat.out": """
        observing offer offer_refused approval
        message system end handover wait_refused ack typing read receipt presence history token
        token_refused consent consented consent_refused
    """,
    "notify.in": "alive token",
    "notify.out": "plain alert appointment conversation alive token token_refused",
    "observe.in": "alive token say typing read approve edit refuse",
    "observe.out": """
        held message part error ack typing read presence alive token token_refused
    """,
    "user.in": "auth connect message_text message_image typing read get_history disconnect rate consent",
    "user.out": """
        observing supervisor
        initialize auth_success connect_queue connect_success handed_over message_text
        message_image message_text_success message_history typing read receipt disconnected error
        rate_success consent consent_success
    """,
    "waiter.in": """
        auth ready unready message_text message_image typing read get_history disconnect transfer accept
        accept_offer decline_offer
    """,
    "waiter.out": """
        observing approval supervisor
        initialize auth_success new_connection message_text message_image message_text_success
        message_history typing read receipt disconnected error ready_success transfer_success
        accept_success kickout offer
    """,
}
"""The kinds of frame by channel and direction."""

CHANNELS = {name.partition(".")[0] for name in FRAMES}
FRAME_PREFIXES = tuple("".join(word.capitalize() for word in name.split(".")) for name in FRAMES)


async def described(harness: Harness, path: str) -> dict[str, Any]:
    return dict(json.loads((await harness.api("GET", path)).body))


def references(value: Any) -> set[str]:
    """Return the targets of all references in a document."""
    if isinstance(value, list):
        return {found for each in value for found in references(each)}
    if not isinstance(value, dict):
        return set()
    own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
    return own | {found for each in value.values() for found in references(each)}


@pytest.mark.gen_test
async def test_the_names_of_the_http_api(harness: Harness) -> None:
    document = await described(harness, "/api/v1/openapi.json")
    operations = {about["operationId"] for verbs in document["paths"].values() for about in verbs.values()}
    assert sorted(document["components"]["schemas"]) == sorted(HTTP_SCHEMAS.split())
    assert operations == set(OPERATIONS.split())
    assert set(document["components"]["responses"]) == {"OtherProblem"}
    assert {tag["name"] for tag in document["tags"]} == TAGS


@pytest.mark.gen_test
async def test_the_names_of_the_sockets(harness: Harness) -> None:
    document = await described(harness, "/asyncapi.json")
    components = document["components"]
    frames = {name for name in components["schemas"] if name.startswith(FRAME_PREFIXES)}
    assert sorted(set(components["schemas"]) - frames) == sorted(SOCKET_SCHEMAS.split())
    assert set(document["channels"]) == CHANNELS
    assert set(document["operations"]) == {
        f"{channel}.{action}" for channel in CHANNELS for action in ("receive", "send")
    }
    messages = {f"{way}.{kind}" for way, kinds in FRAMES.items() for kind in kinds.split()}
    assert set(components["messages"]) == messages
    for name, message in components["messages"].items():
        assert message["name"] == name  # unique, for generators; the title is for people
        frame = "".join(word.capitalize() for word in re.split("[._]", name))
        assert message["payload"] == {"$ref": f"#/components/schemas/{frame}"}
    assert len(frames) == len(messages)


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/api/v1/openapi.json", "/asyncapi.json"])
async def test_no_name_has_a_module_path(harness: Harness, path: str) -> None:
    document = await described(harness, path)
    for name in document["components"]["schemas"]:
        assert READABLE.fullmatch(name), name
    assert "tornado_chat." not in json.dumps(document).replace("tornado_chat.client", "")
    for target in references(document):  # every reference leads somewhere
        found: Any = document
        for key in target.removeprefix("#/").split("/"):
            found = found[key]


def test_each_type_has_a_name_of_its_own() -> None:
    assert len(set(SCHEMA_NAMES.values())) == len(SCHEMA_NAMES)
    assert set(SCHEMA_NAMES.values()) == {*HTTP_SCHEMAS.split(), *SOCKET_SCHEMAS.split()}


def test_a_renamed_and_moved_class_keeps_its_public_name() -> None:
    """Also if it then has the name of another class: msgspec names both by their modules."""
    before = schemas.components_of([OpenSession, Status])
    name, module = Status.__name__, Status.__module__
    try:
        Status.__name__, Status.__module__ = OpenSession.__name__, "somewhere.else"
        assert schemas.components_of([OpenSession, Status]) == before
        assert schemas.reference(Status) == {"$ref": "#/components/schemas/ServerStatus"}
    finally:
        Status.__name__, Status.__module__ = name, module


def test_a_type_without_a_name_is_an_error() -> None:
    class Unnamed(msgspec.Struct):
        """In no document."""

    Unnamed.__module__ = "tornado_chat.web.api"
    with pytest.raises(LookupError, match="add it to SCHEMA_NAMES of tornado_chat"):
        schemas.components_of([Unnamed])
