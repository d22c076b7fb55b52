"""A file that imports a library that is not installed."""

from no_such_words import WORDS

from tornado_chat.plugin_api import Plugin

CHECK = 'this plugin needs the module "no_such_words"'


class Hostile(Plugin):
    words = WORDS
