"""Grapheme clusters: the characters that readers see, which may consist of several code points.

The rules are those of Unicode's UAX 29 as far as ``unicodedata`` has the properties: combining marks, joiners
and skin tones belong to the character before them, an emoji to the joiner before it, two regional indicators
make a flag, and conjoining letters a Hangul syllable. Left out are the conjuncts of Indian scripts, and the
few signs that belong to the character after them.
"""

import re
import unicodedata
from collections.abc import Iterator

_FIRST = "\u0300"  # below it, each character is a cluster
_ZERO_WIDTH_JOINER = "\u200d"
# Joiners, two Thai and Lao vowels, skin tones, and the letters of subdivision flags.
_EXTENDING = re.compile("[\u0e33\u0eb3\u200c\u200d\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]")
_FLAG_LETTER = re.compile("[\U0001f1e6-\U0001f1ff]")
_HANGUL = re.compile(
    "(?P<leading>[\u1100-\u115f\ua960-\ua97c])|(?P<vowel>[\u1160-\u11a7\ud7b0-\ud7c6])"
    "|(?P<trailing>[\u11a8-\u11ff\ud7cb-\ud7fb])|(?P<syllable>[\uac00-\ud7a3])"
)
_FIRST_SYLLABLE, _SYLLABLES_PER_VOWEL = 0xAC00, 28  # the first of each 28 has no trailing letter
_HANGUL_CONTINUATIONS = {
    # the kinds of letters that continue a syllable, by the kind of the letter before
    "leading": ("leading", "vowel", "syllable", "open syllable"),
    "syllable": ("trailing",),
    "open syllable": ("vowel", "trailing"),
    "vowel": ("vowel", "trailing"),
    "trailing": ("trailing",),
}
_NOT_EXTENDED = ("Cc", "Cf", "Zl", "Zp")


def long_clusters(text: str) -> Iterator[tuple[int, int]]:
    """Yield the range of each cluster of ``text`` that consists of several code points, in order.

    Most texts have none: then the time is that of ``set(text)``.
    """
    characters = set(text)
    has_joiner = _ZERO_WIDTH_JOINER in characters
    candidates = {each for each in characters if each >= _FIRST and _may_continue(each, has_joiner)}
    if not candidates:
        return
    start = end = 0  # of the present cluster
    for index, character in enumerate(text):
        if index and character in candidates and _continues(text, start, index):
            end = index + 1
            continue
        if end > start:
            yield start, end
        start, end = index, 0
    if end > start:
        yield start, end


def _may_continue(character: str, has_joiner: bool) -> bool:
    """Return True if the character can be one of a cluster, but not its first."""
    return (
        _extends(character)
        or _FLAG_LETTER.match(character) is not None
        or _HANGUL.match(character) is not None
        or (has_joiner and unicodedata.category(character) == "So")
    )


def _continues(text: str, start: int, index: int) -> bool:
    """Return True if ``text[index]`` belongs to the cluster that begins at ``start``."""
    before, character = text[index - 1], text[index]
    if unicodedata.category(before) in _NOT_EXTENDED and not _EXTENDING.match(before):
        return False
    if _extends(character):
        return True
    if before == _ZERO_WIDTH_JOINER:
        return _is_emoji(character) and _is_emoji(text[start])
    if _FLAG_LETTER.match(character):
        return index - start == 1 and _FLAG_LETTER.match(before) is not None
    return _hangul_kind(character) in _HANGUL_CONTINUATIONS.get(_hangul_kind(before), ())


def _hangul_kind(character: str) -> str:
    """Return the kind of a letter or syllable of Hangul; empty for other characters."""
    found = _HANGUL.match(character)
    kind = (found.lastgroup or "") if found else ""
    if kind == "syllable" and (ord(character) - _FIRST_SYLLABLE) % _SYLLABLES_PER_VOWEL == 0:
        return "open syllable"
    return kind


def _is_emoji(character: str) -> bool:
    return unicodedata.category(character) == "So" and not _FLAG_LETTER.match(character)


def _extends(character: str) -> bool:
    return unicodedata.category(character)[0] == "M" or _EXTENDING.match(character) is not None
