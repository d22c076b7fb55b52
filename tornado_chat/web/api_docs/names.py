"""The public names of the types in the OpenAPI and the AsyncAPI document.

Strategy: generators make the names of a client's classes from these names, so a class of the server that is
renamed or moved must not change one. Therefore each name is written here, and none is made from the name or
the module of a class, except for the types of plugins. A published name stays;
``tests/web/api_docs/test_names.py`` has a list of all names.
"""

import re
from collections.abc import Mapping

from tornado_chat.core import status
from tornado_chat.core.types import ConversationState, EndReason, Part, SessionState
from tornado_chat.plugins.origins import SHARED_PACKAGES
from tornado_chat.web.api import (
    approvals,
    groups,
    handovers,
    left_messages,
    ops,
    participation,
    revocations,
    schemas,
    session_lists,
    staff,
)
from tornado_chat.wire import approval_frames, counselling_frames, offers, people, support_frames

SCHEMA_NAMES: Mapping[type, str] = {
    # bodies of requests to the HTTP API
    schemas.OpenSession: "SessionCreate",
    schemas.CallSupervisor: "SupervisionCreate",
    schemas.Rating: "Rating",
    participation.TakeOver: "TakeOver",
    schemas.Notify: "NotificationCreate",
    schemas.Prioritise: "SupportPriorityChange",
    revocations.Revoke: "RevocationCreate",
    staff.Credentials: "Credentials",
    approvals.Approve: "ApprovalCreate",
    approvals.Refuse: "RefusalCreate",
    # bodies of its answers
    schemas.Problem: "Problem",
    handovers.OfferTarget: "HandoverTarget",
    handovers.OfferCreate: "HandoverCreate",
    offers.OfferDetails: "HandoverOffer",
    schemas.Agent: "Agent",
    schemas.Session: "Session",
    schemas.SessionDetails: "SessionDetails",
    SessionState: "SessionState",
    EndReason: "EndReason",
    session_lists.ListedSession: "SessionSummary",
    session_lists.SessionPage: "SessionPage",
    schemas.Transcript: "Transcript",
    schemas.Supervision: "SupervisionCreated",
    schemas.SupervisionRecord: "SupervisionRecord",
    schemas.ConsentGiven: "Consent",
    schemas.SupervisionDetails: "SupervisionDetails",
    schemas.SupervisionTranscript: "SupervisionTranscript",
    schemas.MessagePage: "MessagePage",
    schemas.SupportMessage: "SupportMessage",
    schemas.SupportMessagePage: "SupportMessagePage",
    schemas.EndedConversation: "SupportConversation",
    schemas.ConversationPage: "SupportConversationPage",
    schemas.ConversationDetails: "SupportConversationDetails",
    schemas.ConversationParticipant: "SupportParticipant",
    schemas.ConversationTranscript: "SupportTranscript",
    ConversationState: "SupportConversationState",
    Part: "ParticipantPart",
    schemas.Priority: "SupportPriority",
    schemas.Notified: "NotificationCreated",
    schemas.InboxItem: "Notification",
    schemas.Inbox: "NotificationPage",
    schemas.WaiterStatus: "WaiterStatus",
    schemas.Waiting: "WaitingUser",
    schemas.QueueStatus: "QueueStatus",
    schemas.SupportStatus: "SupportStatus",
    groups.GroupItem: "Group",
    groups.ConsentText: "GroupConsent",
    groups.GroupNumbers: "GroupNumbers",
    groups.GroupPage: "GroupPage",
    left_messages.LeftMessageHandling: "LeftMessageHandling",
    left_messages.LeftMessageItem: "LeftMessage",
    left_messages.LeftMessagePage: "LeftMessagePage",
    schemas.GuestToken: "GuestToken",
    staff.Account: "Account",
    staff.SignedIn: "SignedInAccount",
    staff.OwnToken: "AccountToken",
    revocations.Revocation: "Revocation",
    revocations.RevocationPage: "RevocationPage",
    approvals.ApprovalPage: "HeldMessagePage",
    approval_frames.HeldShown: "HeldMessage",
    ops.Health: "Health",
    status.Status: "ServerStatus",
    status.ParticipantStatus: "ParticipantStatus",
    status.ConversationStatus: "ConversationStatus",
    status.ConversationSummary: "ConversationSummary",
    status.QueuedUserStatus: "QueuedUserStatus",
    status.GroupStatus: "GroupStatus",
    status.QueueOverview: "QueueOverview",
    status.WaiterOverview: "WaiterOverview",
    status.WaiterSummary: "WaiterSummary",
    status.MessageRates: "MessageRates",
    status.HistoryStatus: "HistoryStatus",
    status.PluginStatus: "PluginStatus",
    status.DatabaseStatus: "DatabaseStatus",
    status.ProcessStatus: "ProcessStatus",
    # parts of both documents
    people.Sender: "Sender",
    people.Named: "NamedPerson",
    counselling_frames.Line: "Message",
    counselling_frames.AppointmentChanged: "AppointmentChanged",
    counselling_frames.NewConversation: "NewConversation",
    support_frames.HandedOver: "Handover",
    support_frames.Observing: "ObservingPayload",
    support_frames.Supervising: "SupervisorPayload",
    counselling_frames.Handover: "SessionHandover",
    # parts of the frames
    approval_frames.ApprovalShown: "ApprovalPayload",
    counselling_frames.PlainAlert: "PlainAlert",
    support_frames.Auth: "AuthPayload",
    support_frames.Connect: "ConnectPayload",
    support_frames.Disconnect: "DisconnectPayload",
    support_frames.DisconnectUser: "DisconnectUserPayload",
    support_frames.MessageText: "MessageTextPayload",
    support_frames.MessageImage: "MessageImagePayload",
    support_frames.GetHistory: "GetHistoryPayload",
    support_frames.TypingNow: "TypingPayload",
    support_frames.MarkRead: "MarkReadPayload",
    support_frames.Transfer: "TransferPayload",
    support_frames.AcceptOffer: "AcceptOfferPayload",
    support_frames.DeclineOffer: "DeclineOfferPayload",
    support_frames.Rate: "RatePayload",
    support_frames.AnswerConsent: "ConsentAnswerPayload",
    support_frames.ConsentAsked: "ConsentPayload",
    support_frames.ConsentNoted: "ConsentSuccessPayload",
    counselling_frames.ConsentAnswer: "ConsentAnswer",
    counselling_frames.ConsentText: "ConsentText",
    counselling_frames.ConsentDecision: "ConsentDecision",
    support_frames.Failed: "ErrorPayload",
    support_frames.SignedIn: "AuthSuccessPayload",
    support_frames.MessageStored: "MessageStoredPayload",
    support_frames.Queued: "ConnectQueuePayload",
    support_frames.Eta: "ExpectedWait",
    support_frames.Accepted: "AcceptSuccessPayload",
    support_frames.Matched: "ConnectionPayload",
    support_frames.ReadShown: "ReadPayload",
    support_frames.ReceiptShown: "ReceiptPayload",
    support_frames.Line: "SupportHistoryMessage",
    support_frames.History: "MessageHistoryPayload",
    support_frames.Rated: "RateSuccessPayload",
    support_frames.ReadyNoted: "ReadySuccessPayload",
    support_frames.Transferred: "TransferSuccessPayload",
}


def public_name(type: type) -> str:
    """Return the public name of a type; that of a plugin has the name of its module before it.

    :raises LookupError: the type has none; the error says how to give it one.
    """
    if type in SCHEMA_NAMES:
        return SCHEMA_NAMES[type]
    if type.__module__.partition(".")[0] != "tornado_chat":
        return _name_of_plugins_type(type)
    raise LookupError(
        f"{type.__module__}.{type.__qualname__} is in an API document and has no public name: "
        f"add it to SCHEMA_NAMES of {__name__}"
    )


def _name_of_plugins_type(type: type) -> str:
    """Return ``PluginKioskOrder`` for the class ``Order`` of the plugin ``kiosk``."""
    package, _, rest = type.__module__.partition(".")
    parts = re.findall("[a-zA-Z0-9]+", f"{rest if package in SHARED_PACKAGES else type.__module__}")
    return f"Plugin{''.join(part.capitalize() for part in parts)}{type.__name__}"
