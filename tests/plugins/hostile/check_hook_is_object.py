"""A hook that is an object and no method."""

import functools

from tornado_chat.plugin_api import Plugin

CHECK = "an object of the type partial is never called as a hook"


def answer(text, draft):
    return draft.replace(text)


class Hostile(Plugin):
    filter_message = functools.partial(answer, "hello")
