"""A data keeper with an asynchronous method."""

from tornado_chat.plugin_api import Keeper, Plugin, hookimpl

CHECK = "Notes.erase_person is `async def`"


class Notes(Keeper):
    async def erase_person(self, tx, person):
        return {}


class Hostile(Plugin):
    @hookimpl
    def register_keeper(self):
        return Notes()
