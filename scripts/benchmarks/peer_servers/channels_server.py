"""Django Channels: a group of two for each room; with the argument ``stored`` each message is a row first."""

import asyncio
import sys
import tempfile

import django
from django.conf import settings

STORED = "stored" in sys.argv
settings.configure(
    INSTALLED_APPS=["channels"],
    CHANNEL_LAYERS={
        "default": {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 10**6}}
    },
    DATABASES={
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{tempfile.mkdtemp()}/db.sqlite3"}
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()

import uvicorn  # noqa: E402
from channels.db import database_sync_to_async  # noqa: E402
from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.db import connection, models  # noqa: E402
from django.urls import re_path  # noqa: E402


class Message(models.Model):
    room = models.CharField(max_length=40)
    text = models.TextField()
    time = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "chat"


class Relay(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        self.room = self.scope["url_route"]["kwargs"]["room"]
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()

    async def receive(self, text_data=None, bytes_data=None) -> None:
        if STORED:
            await database_sync_to_async(Message.objects.create)(room=self.room, text=text_data)
        said = {"type": "said", "text": text_data, "by": self.channel_name}
        await self.channel_layer.group_send(self.room, said)

    async def said(self, event) -> None:
        if event["by"] != self.channel_name:
            await self.send(text_data=event["text"])


with connection.schema_editor() as editor:
    editor.create_model(Message)
with connection.cursor() as cursor:
    cursor.execute("PRAGMA journal_mode=WAL")
connection.close()

application = ProtocolTypeRouter(
    {"websocket": URLRouter([re_path(r"relay/(?P<room>\w+)$", Relay.as_asgi())])}
)


async def main() -> None:
    server = uvicorn.Server(uvicorn.Config(application, port=0, log_level="error", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    sys.stderr.write(f"url=http://127.0.0.1:{port}\n")
    sys.stderr.flush()
    await serving


asyncio.run(main())
