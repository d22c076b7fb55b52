"""A host's program on a generated Python client: opens a session, reads it, and handles an error.

Arguments: the address of the server, a token of the role ``service``. The generated package is ``chat_api``.
"""

import sys

from chat_api import AuthenticatedClient
from chat_api.api.notifications import notify
from chat_api.api.revocations import revoke
from chat_api.api.sessions import get_session, list_session_messages, list_sessions, open_session
from chat_api.models import (
    NotificationCreate,
    NotificationCreated,
    Problem,
    RevocationCreate,
    Session,
    SessionCreate,
    SessionDetails,
)
from chat_api.models.message_page import MessagePage
from chat_api.models.session_page import SessionPage

chat = AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2])

opened = open_session.sync(client=chat, body=SessionCreate(user_id=1, consultant_id="2"))
assert isinstance(opened, Session)
assert opened.user_name is None
assert opened.created.utcoffset() is not None

found = get_session.sync(int(opened.session_id), client=chat)
assert isinstance(found, SessionDetails)
assert found.session_id == opened.session_id
assert found.state == "ready"

page = list_sessions.sync(client=chat, consultant_id="2", limit=10)
assert isinstance(page, SessionPage)
assert [each.session_id for each in page.items] == [opened.session_id]

messages = list_session_messages.sync(int(opened.session_id), client=chat)
assert isinstance(messages, MessagePage)
assert messages.items == []

body = NotificationCreate.from_dict({"role": "user", "id": 1, "type": 0, "msg": "hello"})
assert isinstance(notify.sync(client=chat, body=body), NotificationCreated)

shut_out = RevocationCreate.from_dict({"role": "user", "id": 9})
assert revoke.sync_detailed(client=chat, body=shut_out).status_code == 201

missing = get_session.sync(99, client=chat)
assert isinstance(missing, Problem)
assert (missing.status, missing.code) == (404, "no_such_session")
print("done")
