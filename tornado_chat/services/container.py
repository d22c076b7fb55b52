"""The services of a server that the web layer uses."""

from dataclasses import dataclass

from tornado_chat import config
from tornado_chat.observability.metrics import Metrics
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.auth.access import AccessControl
from tornado_chat.services.auth.accounts import Accounts
from tornado_chat.services.auth.client_limits import ClientLimits
from tornado_chat.services.auth.connection_limits import ConnectionLimits
from tornado_chat.services.auth.guests import Guests
from tornado_chat.services.auth.revocations import Revocations
from tornado_chat.services.counselling.service import Counselling
from tornado_chat.services.counselling.sessions_api import Sessions
from tornado_chat.services.handover.notices import OfferNotices
from tornado_chat.services.handover.offers import Offers
from tornado_chat.services.messaging.connections import Connections
from tornado_chat.services.messaging.consents import Consents
from tornado_chat.services.messaging.notifications import Notifications
from tornado_chat.services.messaging.participant_names import ParticipantNames
from tornado_chat.services.monitoring.aggregate import StatusAggregator
from tornado_chat.services.supervision.approvals import Approvals
from tornado_chat.services.supervision.observers import Observers
from tornado_chat.services.supervision.participation import Participation
from tornado_chat.services.support.first_words import FirstWords
from tornado_chat.services.support.group_registry import GroupRegistry
from tornado_chat.services.support.history import SupportHistory
from tornado_chat.services.support.local_conversations import LocalConversations
from tornado_chat.services.support.priorities import Priorities
from tornado_chat.services.support.service import Support
from tornado_chat.wire.counselling import CounsellingEncoders
from tornado_chat.wire.times import LocalTimes


@dataclass
class Services:
    """The services and settings for request handlers.

    :ivar limits: as ``support_settings``, replaced by a reload: handlers must not keep them.
    """

    access_control: AccessControl
    connections: Connections
    counselling: Counselling
    notifications: Notifications
    sessions: Sessions
    approvals: Approvals
    local_conversations: LocalConversations
    support: Support
    support_history: SupportHistory
    priorities: Priorities
    first_words: FirstWords
    observers: Observers
    participation: Participation
    offers: Offers
    offer_notices: OfferNotices
    guests: Guests
    client_limits: ClientLimits
    accounts: Accounts
    revocations: Revocations
    connection_limits: ConnectionLimits
    status_aggregator: StatusAggregator
    participant_names: ParticipantNames
    groups: GroupRegistry
    consents: Consents
    plugins: PluginManager
    metrics: Metrics
    frames: CounsellingEncoders
    times: LocalTimes
    limits: config.Limits
    support_settings: config.Support
    language: str

    def reconfigure(self, limits: config.Limits, support_settings: config.Support) -> None:
        self.limits = limits
        self.support_settings = support_settings
