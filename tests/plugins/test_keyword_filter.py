"""The bundled plugin ``keyword_filter``: matches, masks and alerts."""

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import peewee as pw
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado_chat_plugins.keyword_filter import KeywordFilter, alert_queries, matching, word_lists
from tornado_chat_plugins.keyword_filter.alert_queries import (
    Alert,
    KeywordFilterAlert,
    KeywordFilterNotified,
    KeywordFilterRecord,
    Stage,
)
from tornado_chat_plugins.keyword_filter.clusters import long_clusters
from tornado_chat_plugins.keyword_filter.data_keeper import AlertKeeper
from tornado_chat_plugins.keyword_filter.matching import CHUNK_CHARS, Matcher
from tornado_chat_plugins.keyword_filter.normalising import Normaliser
from tornado_chat_plugins.keyword_filter.recent_texts import MAX_CHARS, RecentTexts
from tornado_chat_plugins.keyword_filter.word_lists import WordAction, WordKind

from tests.conftest import Harness, token
from tornado_chat import config
from tornado_chat.client import RawClient
from tornado_chat.config import ini
from tornado_chat.core.types import Kind, Message, Person, Role, StaffAccount, Thread
from tornado_chat.plugins.discovery import load_plugins
from tornado_chat.server.server import Server
from tornado_chat.storage import revocations, staff

VISITOR = token("user", 1, "V")
COUNSELLOR = token("consultant", 2, "C")
WORDS = {
    "mask": "# rude\n\nfuck\nass\n混蛋\n混蛋东西\n东西南北\nnaïve\nfig\n酒\n",
    "block": "賭博\nBuy Now\n",
    "alert": "自杀\n酒精\nkill myself\n",
}


@pytest.fixture
def lists(tmp_path: Path) -> dict[str, Path]:
    """The list files, by option."""
    paths = {name: tmp_path / f"{name}-words.txt" for name in WORDS}
    for name, path in paths.items():
        path.write_text(WORDS[name], "utf-8")
    return paths


def enabled(settings: config.Config, **options: str) -> config.Config:
    """``settings`` with the plugin."""
    entries = [ini.OptionEntry("test", "plugin:keyword_filter", name, text) for name, text in options.items()]
    return replace(
        settings,
        plugins=config.Plugins(paths=(), enabled=("keyword_filter",)),
        plugin_entries={"keyword_filter": entries},
    )


@pytest.fixture
def options() -> dict[str, str]:
    """More options of the plugin, which a test may parametrize."""
    return {}


@pytest.fixture
def settings(settings: config.Config, lists: dict[str, Path], options: dict[str, str]) -> config.Config:
    return enabled(settings, **{name: str(path) for name, path in lists.items()} | options)


# --- matching ---


def matcher(folder: Path, **words: str) -> Matcher:
    lists: dict[WordAction, Sequence[str]] = {}
    for name, text in words.items():
        path = folder / name
        path.write_text(text, "utf-8")
        lists[WordAction[name.upper()]] = [str(path)]
    return Matcher(Normaliser.shared(), lists)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Matcher:
    return matcher(tmp_path_factory.mktemp("words"), **WORDS)


class Hit(NamedTuple):
    """A match of a word at ``text[start:end]`` of the original text."""

    start: int
    end: int
    kind: WordKind


def find_hits(words: Matcher, text: str) -> list[Hit]:
    """Return the different matches in a text."""
    hits: dict[Hit, None] = {}
    for automaton, view in words.words.views(text):
        sources = view.source_indexes()
        for kind, start, end in automaton.find(view):
            hits[Hit(sources[start], sources[end - 1] + 1, kind)] = None
    return list(hits)


def found(words: Matcher, text: str) -> list[str]:
    """Return the matches as they are written in the text."""
    return [text[hit.start : hit.end] for hit in find_hits(words, text)]


def masked_text(words: Matcher, text: str) -> str:
    verdict = words.check(text)
    return text if verdict is None else verdict.text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("fuck", "****"),
        ("f u c k", "* * * *"),
        ("so F.u-c_k!", "so *.*-*_*!"),
        ("ｆＵck you", "**** you"),
        ("f\u200bu\u00adck", "*\u200b*\u00ad**"),
        ("fu\u0301ck fúck", "**** ****"),  # an accent of its own and within the letter
        ("𝐟𝐮𝐜𝐤", "****"),
        ("f-u|c~k", "*-*|*~*"),
        ("a ﬁg, a fig", "a **, a ***"),  # the ligature is one character
        ("混 蛋", "* *"),
        ("你混★蛋吗", "你*★*吗"),
        ("混蛋東西南北", "******"),  # overlapping, one within another, traditional
        ("naive NAÏVE nai\u0308ve", "***** ***** *****"),
        ("😀混蛋😀 𠮷 ass", "😀**😀 𠮷 ***"),
        ("你ass", "你***"),
        ("混😀蛋", "*😀*"),
    ],
)
def test_words_are_found_in_any_spelling_and_masked_in_place(words: Matcher, text: str, masked: str) -> None:
    assert masked_text(words, text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "***",
        "class",
        "assess",
        "ass1",
        "cl\u200bass",  # looks like class
        "ass\u0301es",
        "ass\u200bess",
        "configure",
        "conﬁgure",  # fig begins within a character
        "wtf uck",
        "\ud800fuc",
        "😀" * 300,
    ],
)
def test_texts_without_matches(words: Matcher, text: str) -> None:
    assert words.check(text) is None
    assert found(words, text) == []


def test_a_word_of_two_words_is_not_found_across_others(tmp_path: Path) -> None:
    few = matcher(tmp_path, mask="shit\n123\n")
    assert found(few, "is hit") == []
    assert found(few, "push it") == []
    assert found(few, "s-hit 1 2-3 1234") == ["s-hit", "1 2-3"]


def test_lone_surrogates_are_ignored(words: Matcher) -> None:
    assert found(words, "\ud800fuck\udfff") == ["fuck"]


def test_overlapping_words_are_all_found(words: Matcher) -> None:
    assert found(words, "混蛋东西南北混蛋") == ["混蛋", "混蛋东西", "东西南北", "混蛋"]


def test_no_part_of_an_alert_word_is_masked(words: Matcher) -> None:
    for text, masked in [("喝酒", "喝*"), ("酒精", "酒精"), ("酒酒精酒", "*酒精*")]:
        assert masked_text(words, text) == masked


def test_a_word_in_two_lists_has_both_actions_and_the_name_of_the_alert_list(tmp_path: Path) -> None:
    both = matcher(tmp_path, mask="Ｘyz\n", alert="x.y.z\n")
    assert len(both) == 1
    (hit,) = find_hits(both, "xYz")
    assert (hit.kind.is_masked, hit.kind.is_alert, hit.kind.is_blocked) == (True, True, False)
    assert both.find_alerts("xYz") == ["alert"]
    assert masked_text(both, "xyz") == "xyz"


def test_no_lists_find_nothing() -> None:
    none = Matcher(Normaliser.shared(), {})
    assert len(none) == 0
    assert none.check("anything") is None
    assert none.find_alerts("anything") == []


def test_line_ends_and_a_byte_order_mark_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "windows"
    path.write_bytes("\ufeffone\r\n  two words \r\n#no\r\n".encode())
    windows = Matcher(Normaliser.shared(), {WordAction.MASK: [str(path)]})
    assert found(windows, "one, two-words; no") == ["one", "two-words"]


SEPARATORS = st.text(" .-_*~|·、，。\t\n\u200b\u200d\u2060\u3000\u0301\ufe0f", max_size=3)


def respelt(character: str) -> st.SearchStrategy[str]:
    """Return a strategy for characters that look the same."""
    same = [character, character.upper()]
    if character.isascii():
        same.append(chr(ord(character) + 0xFEE0))
    same += {"赌": ["賭"], "东": ["東"], "杀": ["殺"], "i": ["ï"]}.get(character, [])
    return st.sampled_from(same)


@given(st.sampled_from(["fuck", "kill myself", "buy now", "赌博", "东西南北", "自杀"]), st.data())
def test_separators_width_and_case_never_hide_a_word(words: Matcher, word: str, data: st.DataObject) -> None:
    letters = [data.draw(respelt(letter)) for letter in word if letter != " "]
    text = "".join(
        letter + data.draw(SEPARATORS) if n < len(letters) - 1 else letter for n, letter in enumerate(letters)
    )
    before, after = data.draw(st.sampled_from([("", ""), ("你", "们"), ("I ", " you"), ("😀", "😀")]))
    whole = before + text + after
    assert text in found(words, whole)
    assert find_hits(words, whole)[0].start == len(before)


TEXTS = st.lists(
    st.one_of(
        st.text(max_size=5),
        st.sampled_from(["fuck", "混蛋", "混蛋东西", "南北", "ﬁg", "ass", "自杀", "酒精", "酒", " ", "é"]),
    ),
    max_size=12,
).map("".join)


@given(TEXTS)
def test_masking_changes_only_what_was_found_and_hides_no_alert(words: Matcher, text: str) -> None:
    hits = find_hits(words, text)
    masked = masked_text(words, text)
    within = {n for hit in hits if hit.kind.is_masked for n in range(hit.start, hit.end)}
    position = 0
    for start, end in clusters(text):
        if masked.startswith("*", position) and text[start:end] != "*":
            assert not within.isdisjoint(range(start, end))
            position += 1
        else:
            assert masked.startswith(text[start:end], position)
            position += end - start
    assert position == len(masked)
    assert words.find_alerts(masked) == words.find_alerts(text)
    if not any(hit.kind.is_alert for hit in hits):
        assert not any(hit.kind.is_masked for hit in find_hits(words, masked))


def clusters(text: str) -> list[tuple[int, int]]:
    """Return the ranges of all clusters of a text."""
    long = list(long_clusters(text))
    inner = {n for start, end in long for n in range(start, end)}
    return sorted(long + [(n, n + 1) for n in range(len(text)) if n not in inner])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("plain 文字 é", []),
        ("e\u0301a\u0308\u0301", ["e\u0301", "a\u0308\u0301"]),
        ("👍🏽👍", ["👍🏽"]),
        ("👨\u200d👩\u200d👧👦", ["👨\u200d👩\u200d👧"]),
        ("a\u200db", ["a\u200d"]),
        ("🇨🇳🇩🇪🇫", ["🇨🇳", "🇩🇪"]),
        ("1\ufe0f\u20e3", ["1\ufe0f\u20e3"]),
        ("🏴\U000e0067\U000e0062", ["🏴\U000e0067\U000e0062"]),
        ("\u1112\u1161\u11ab\u1100\u1173", ["\u1112\u1161\u11ab", "\u1100\u1173"]),
        ("한\u11a8글\u1161", ["한\u11a8"]),
        ("하\u1161\u11a8한\u1161", ["하\u1161\u11a8"]),
        ("\u200b\u0301\u00ad\u0301\u200d\u0301", ["\u0301\u200d\u0301"]),
        ("น\u0e33", ["น\u0e33"]),
        ("\n\u0301a", []),
        ("\u0301", []),
    ],
)
def test_grapheme_clusters(text: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end in long_clusters(text)] == expected


@pytest.mark.parametrize(
    ("word", "text", "masked"),
    [
        ("👍", "好👍🏽!", "好*!"),
        ("👩", "👨\u200d👩\u200d👧", "*"),
        ("ни", "е\u0301ни\u0306", "е\u0301ни\u0306"),
        ("ни", "ни\u0306", "**"),
        ("東", "東\ufe00京", "*京"),
        ("\u1112\u1161", "\u1112\u1161\u11ab글", "*글"),
    ],
)
def test_whole_grapheme_clusters_are_masked(tmp_path: Path, word: str, text: str, masked: str) -> None:
    assert masked_text(matcher(tmp_path, mask=word), text) == masked


def test_a_cluster_with_a_part_of_an_alert_word_is_kept(tmp_path: Path) -> None:
    few = matcher(tmp_path, mask="👩\n混\n", alert="👨\n")
    text = "混👨\u200d👩"
    assert masked_text(few, text) == "*👨\u200d👩"
    assert few.find_alerts(masked_text(few, text)) == ["alert"]


# --- alerts ---


@pytest.mark.parametrize(
    "text",
    [
        "suicide2",
        "suicides",
        "Suicided",
        "suicide123",
        "suicides2 are",
        "2 suicides 2",
        "kill myself2",
        "su-i-cide2",
        "suicide's",
    ],
)
def test_simple_inflections_of_alert_words_are_found(tmp_path: Path, text: str) -> None:
    few = matcher(tmp_path, alert="suicide\nkill myself\n", block="kill myself\n", mask="cide2\nother\n")
    assert few.find_alerts(text) == ["alert"]
    verdict = few.check(text)
    assert verdict is None or not verdict.is_blocked
    assert few.find_alerts(text if verdict is None else verdict.text) == ["alert"]


@pytest.mark.parametrize(
    "text", ["suicidesque", "suicide2b", "suicideology", "genocide2", "suicide123456789"]
)
def test_other_longer_words_are_not_inflections(tmp_path: Path, text: str) -> None:
    assert matcher(tmp_path, alert="suicide\ncide\n").find_alerts(text) == []


def test_masked_and_blocked_words_have_no_inflections(tmp_path: Path) -> None:
    few = matcher(tmp_path, mask="ass\n", block="pot\n")
    assert few.check("asses pots ass2 pot2") is None


def test_all_lists_of_a_message_are_found(tmp_path: Path) -> None:
    paths = []
    for name, text in {"mild": "难过\n死\n", "severe": "自杀\n死\n"}.items():
        paths.append(str(tmp_path / name))
        Path(paths[-1]).write_text(text, "utf-8")
    both = Matcher(Normaliser.shared(), {WordAction.ALERT: paths})
    assert both.find_alerts("我很难过") == ["mild"]
    assert both.find_alerts("我很难过, 想自杀, 难过") == ["mild", "severe"]
    assert both.find_alerts("死") == ["mild", "severe"]


@pytest.mark.parametrize(
    ("before", "text", "found"),
    [
        ("我想自", "杀", True),
        ("I will kill", "myself", True),
        ("sui", "cide", True),
        ("自\n杀", "好", False),  # found before
        ("自杀", "自", False),
        ("自杀", "自杀", True),
        ("好", "自杀", True),
        ("kill", "yourself and me", False),
    ],
)
def test_a_word_over_two_messages_is_found_once(
    words: Matcher, tmp_path: Path, before: str, text: str, found: bool
) -> None:
    few = matcher(tmp_path, alert="自杀\nkill myself\nsuicide\n")
    assert few.find_alerts(text, before) == (["alert"] if found else [])


def message(seq: int, text: str, sender: str = "1", thread: int = 1, seconds: float = 0) -> Message:
    time = round(seconds * 1_000_000)
    return Message(Thread(Kind.SESSION, thread), seq, Person(Role.USER, sender), text, time)


def test_the_ends_of_the_last_messages_are_kept_by_sender_and_conversation() -> None:
    recent = RecentTexts()
    assert recent.add(message(1, "自")) == ""
    assert recent.add(message(2, "a", sender="2")) == ""
    assert recent.add(message(2, "a", thread=2)) == ""
    assert recent.add(message(3, "杀")) == "自"
    assert recent.add(message(3, "杀")) == ""  # delivered again
    assert recent.add(message(4, "x" * 100)) == "自\n杀"
    assert recent.add(message(5, "")) == "x" * MAX_CHARS
    assert recent.add(message(6, "late", seconds=601)) == ""


def test_the_memory_of_recent_texts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tornado_chat_plugins.keyword_filter.recent_texts.MAX_SENDERS", 2)
    recent = RecentTexts()
    for sender in ("1", "2", "3"):
        recent.add(message(1, "old", sender))
    assert [recent.add(message(2, "new", sender)) for sender in ("1", "3")] == ["", "old"]


# --- large lists ---


@given(TEXTS)
def test_divided_words_are_found_as_in_one_automaton(words: Matcher, divided: Matcher, text: str) -> None:
    assert len(divided.words.automata) > 3
    assert sorted(find_hits(divided, text)) == sorted(find_hits(words, text))
    assert divided.check(text) == words.check(text)
    assert divided.find_alerts(text) == words.find_alerts(text)


@pytest.fixture(scope="module")
def divided(tmp_path_factory: pytest.TempPathFactory) -> Matcher:
    """The words in automata of two words each, read two lines at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "MAX_WORDS", 2)
        patch.setattr(word_lists, "PIECE_LINES", 2)
        return matcher(tmp_path_factory.mktemp("words"), **WORDS)


def test_large_lists_are_read_in_pieces_with_pauses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(word_lists.time, "sleep", pauses.append)
    count = 2 * matching.MAX_WORDS + 1
    large = matcher(tmp_path, mask="\n".join(f"{chr(0x4E00 + n % 3000)}{n}" for n in range(count)))
    assert len(large) == count
    assert [len(each) for each in large.words.automata] == [matching.MAX_WORDS, matching.MAX_WORDS, 1]
    assert len(pauses) == count // word_lists.PIECE_LINES + 1 + 3
    assert sorted(found(large, "x一0 丁1")) == ["一0", "丁1"]


@given(st.text())
def test_every_normalised_character_has_its_origin(text: str) -> None:
    normaliser = Normaliser.shared()
    origins = normaliser.source_indexes(text, normaliser.normalise(text))
    assert len(origins) == len(normaliser.normalise(text))
    assert origins == sorted(origins)
    parts = [normaliser.normalise(character) for character in text]
    assert "".join(parts) == normaliser.normalise(text)
    assert [n for n, part in enumerate(parts) for _ in part] == origins


# --- fillers and lookalikes ---

EXTENDING_FILLERS = ("🏿", "\ufe0f", "\U000e0101", "\u0301\u0302", "\u20dd")
"""Fillers that belong to the character before them, and are masked with it."""


@pytest.mark.parametrize(
    "filler",
    [
        "😀",
        "👍🏽",  # with a skin tone
        "🏿",
        "🇨🇳",
        "👨\u200d👩\u200d👧",
        "❤\ufe0f",
        "1\ufe0f\u20e3",  # a keycap
        "#\u20e3",
        "\U0001fae8",  # an emoji that is newer than Unicode 14
        "\ufe0f",
        "\U000e0101",
        "\u200b",
        "\u2060",
        "\u0301\u0302",
        "\u20dd",
        "\u0640",
        "\u02bc",
        "\u2800",
        "\u3164",
        "\ue000",
        "\U000f0000",
        "★",
        "\x00",
    ],
)
def test_fillers_hide_no_word(tmp_path: Path, filler: str) -> None:
    few = matcher(tmp_path, block="赌博\n", mask="混蛋\n", alert="自杀\n")
    verdict = few.check(f"去赌{filler}博吧")
    assert verdict is not None
    assert verdict.is_blocked
    shown = "" if filler in EXTENDING_FILLERS else filler
    assert masked_text(few, f"混{filler}蛋") == f"*{shown}*"
    assert few.find_alerts(f"我想自{filler}杀") == ["alert"]


@pytest.mark.parametrize(
    "text",
    [
        "fuсk",  # Cyrillic
        "FUСK",
        "fυck",  # Greek
        "Fuсκ",
        "f\u00fa\u0441k",
        "f u с k",
        "f.u.с.k",
        "f\u200bu\u0301сk",
        "ꜰᴜᴄᴋ",
        "ᶠᵘᶜᵏ",
        "🅵🆄🅲🅺",
        "🅕🅤🅒🅚",
        "𝔽𝕌ℂ𝕂",
        "fuȼk",
        "fu1\ufe0f\u20e3ck",
    ],
)
def test_lookalikes_hide_no_english_word(words: Matcher, text: str) -> None:
    assert found(words, text) == [text]
    assert found(words, f"so {text}, you") == [text]


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("хуй", "xyй"),
        ("хуй", "ХYЙ"),
        ("сука", "cyкa"),
        ("μαλακας", "μaλaκaς"),
        ("كلب", "كـلـب"),
        ("كلب", "كَلْب"),
        ("加微信", "加😀微🇨🇳信"),
        ("加vx", "加vх"),
    ],
)
def test_lookalikes_hide_no_word_of_other_scripts(tmp_path: Path, word: str, text: str) -> None:
    assert found(matcher(tmp_path, mask=word), text) == [text]


HONEST_WORDS = "pot\ncop\nass\nhe\nbi\ncap\npoop\nсор\nчас\nрот\nكل\nνερο\n赌博\nmop\nbop\nho\nhot\n"


@pytest.mark.parametrize(
    "text",
    [
        "Не вор, а сын: сорт и роты, 5 минут",
        "Он нес тот том в дом",
        "USB-кабель, IT-шник, T-рубашка и Wi-Fi",
        "Витамин B в XX веке, с A до Z",
        "кот Tom, а SS-20 и B2B",
        "the pots of copper, a class, hero",
        "α-rays and β-blockers, 5 μm, 3 kΩ",
        "το νεράκι και ο Τομ",
        "pops rote top",
        "كلـب وكلمة",
        "الكل بخير",
        "我打了电话😀博物馆很好",
        "今天👍🏽很好🇨🇳",
        "naïve café, Ærø, łódź",
    ],
)
def test_honest_texts_have_no_matches(tmp_path: Path, text: str) -> None:
    assert found(matcher(tmp_path, mask=HONEST_WORDS), text) == []


def test_emoji_in_lists_are_characters(tmp_path: Path) -> None:
    few = matcher(tmp_path, mask="🍆\n卖💊\n微信\n")
    assert found(few, "看🍆🍆") == ["🍆", "🍆"]
    assert found(few, "卖 💊, 卖药💊") == ["卖 💊"]
    assert masked_text(few, "微🍆信") == "***"
    assert masked_text(few, "微😀信") == "*😀*"


# --- long texts ---


def test_words_of_repetitions_are_left_out_and_masked_all_the_same(tmp_path: Path) -> None:
    nested = matcher(tmp_path, mask="\n".join("哈" * n for n in range(1, 51)) + "\n东西\n东西南\n")
    [automaton] = nested.words.automata
    assert (len(nested), len(automaton)) == (52, 3)  # 哈, 东西, 东西南
    assert masked_text(nested, "哈" * 20_000 + "东西南北") == "*" * 20_003 + "北"


@pytest.mark.parametrize("word", ["ass", "a", "酒", "混蛋东西"])
def test_a_long_text_of_matches_is_masked_everywhere(tmp_path: Path, word: str) -> None:
    text = f"{word} " * (60_000 // (len(word) + 1))
    assert masked_text(matcher(tmp_path, mask=word), text) == re.sub(r"\S", "*", text)


def test_a_word_at_the_edge_of_a_chunk_is_found_once(tmp_path: Path) -> None:
    few = matcher(tmp_path, mask="混蛋东西\nass\n")
    for before in range(CHUNK_CHARS - 6, CHUNK_CHARS + 2):
        assert found(few, "好" * before + "混蛋东西 ass" + "好" * CHUNK_CHARS) == ["混蛋东西", "ass"]
    long = matcher(tmp_path, mask="z" * (CHUNK_CHARS + 10))
    assert len(find_hits(long, "b " * CHUNK_CHARS + "z" * (CHUNK_CHARS + 10))) == 1


# --- settings ---


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"\xb2\xa9", "is not UTF-8, see byte 1; save it as UTF-8"),
        (b"# only\n\n", "has no words; write one a line"),
        ("ok\n。★ \n".encode(), "line 2 .* only spaces, punctuation"),
    ],
)
@pytest.mark.parametrize("option", ["mask", "block", "alert"])
def test_check_names_the_option_and_says_what_to_do(
    tmp_path: Path, option: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / "list"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{option}: .*{message}"):
        KeywordFilter.check(KeywordFilter.Settings(**{option: (str(path),)}))


def test_options_are_read_and_checked(settings: config.Config) -> None:
    (loaded,) = load_plugins(enabled(settings, alert_role="supervisor", escalate_after="5"))
    assert loaded.plugin.settings.alert_role == "supervisor"
    with pytest.raises(config.ConfigError, match=r"escalate_after: .*above 0"):
        load_plugins(enabled(settings, escalate_after="0"))


@pytest.mark.parametrize(
    ("lines", "warning"),
    [
        ("自杀 # 高危", "line 1 of {path}: a comment after a word"),
        ("ok\nsuicide, kill myself", "line 2 of {path}: a line with commas"),
        ("自杀、轻生\nok\n自杀，轻生", "lines 1, 3 of {path}: a line with commas"),
        ("\n".join(["a b;c"] * 7), "lines 1, 2, 3, 4, 5 and 2 more of {path}: a line with commas"),
    ],
)
def test_lines_that_never_match_are_reported(tmp_path: Path, lines: str, warning: str) -> None:
    path = tmp_path / "list"
    path.write_text(f"{lines}\n", "utf-8")
    settings = KeywordFilter.Settings(alert=(str(path),))
    [found_warning] = KeywordFilter(settings).find_warnings(None)
    assert found_warning.startswith(warning.format(path=path))
    assert "自杀" not in found_warning


@pytest.mark.parametrize("lines", ["#no, comment\nC#\nkill myself\n#1", "it's, ", "a.b-c"])
def test_usual_lines_are_not_reported(tmp_path: Path, lines: str) -> None:
    path = tmp_path / "list"
    path.write_text(f"{lines}\nok\n", "utf-8")
    assert KeywordFilter(KeywordFilter.Settings(alert=(str(path),))).find_warnings(None) == []


@pytest.mark.parametrize(
    ("severity", "wrong"),
    [
        ("{path}", "has no severity; write FILE=severe"),
        ("{path}=high", "has no severity; write FILE=severe"),
        ("{path}x=severe", 'is no file of the option alert; did you mean "{path}"'),
    ],
)
def test_mistakes_in_severities_are_explained(lists: dict[str, Path], severity: str, wrong: str) -> None:
    path = str(lists["alert"])
    with pytest.raises(ValueError, match=f"^severity: .*{re.escape(wrong.format(path=path))}"):
        KeywordFilter.check(KeywordFilter.Settings(alert=(path,), severity=(severity.format(path=path),)))


# --- over sockets ---


async def said(client: RawClient) -> str:
    """Return the text of the next message of the other side."""
    while (frame := await client.recv_json())["isSystem"]:
        pass
    return str(frame["msg"])


async def pair(harness: Harness) -> tuple[int, RawClient, RawClient]:
    """Return a started session with the sockets of its visitor and counsellor."""
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session)
    counsellor = await harness.chat(COUNSELLOR, session)
    for client in (visitor, counsellor):
        while "会话已开始" not in (await client.recv_json())["msg"]:
            pass
    return session, visitor, counsellor


async def history(harness: Harness, session: int) -> str:
    answer = await harness.api("GET", f"/api/v1/sessions/{session}/messages", VISITOR)
    assert answer.code == 200, answer.body
    return str(answer.body.decode())


async def listen(harness: Harness, role: str, id: int) -> RawClient:
    """Open a ``/notify`` socket; after the return its owner can be notified."""
    client = await harness.connect(f"/notify?token={token(role, id)}&features=seq")
    body = {"role": role, "id": id, "type": 0, "msg": "hello"}
    assert (await harness.api("POST", "/api/v1/notifications", token("service", "host"), body)).code == 202
    assert (await client.recv_json())["msg"] == "hello"
    return client


async def read(harness: Harness, sql: Callable[[pw.Database], Any]) -> Any:
    return await harness.server._store.read(sql)


async def alerts(harness: Harness) -> list[KeywordFilterAlert]:
    return list(await read(harness, lambda database: list(KeywordFilterAlert.select().execute(database))))


async def records(harness: Harness, count: int = 1) -> list[KeywordFilterRecord]:
    """Return the records in order, when there are ``count``."""
    table = KeywordFilterRecord
    while True:
        rows = await read(harness, lambda database: list(table.select().order_by(table.id).execute(database)))
        if len(rows) >= count:
            return list(rows)


async def told(harness: Harness, count: int) -> list[str]:
    """Return the notified people in order, after ``count`` are stored, which is shortly after they got it."""
    table = KeywordFilterNotified
    while True:
        rows = await read(harness, lambda database: list(table.select().order_by(table.id).execute(database)))
        if len(rows) >= count:
            return [row.person for row in rows]


def plugin(server: Server) -> KeywordFilter:
    (loaded,) = server._plugins.loaded
    assert isinstance(loaded.plugin, KeywordFilter)
    return loaded.plugin


@pytest.mark.gen_test
async def test_a_blocked_message_is_refused_and_not_delivered(
    harness: Harness, expected_logs: list[str]
) -> None:
    expected_logs.append("there is no supervisor or administrator")
    session, visitor, counsellor = await pair(harness)
    await visitor.send_json({"msg": "来 赌-博 fuck 自杀"})  # block takes precedence over the other actions
    frame = await visitor.recv_json()
    assert frame["isSystem"]
    assert "消息含有不允许使用的词语" in frame["msg"]
    await visitor.send_json({"msg": "fine"})
    assert await said(counsellor) == "fine"
    stored = await history(harness, session)
    assert "fine" in stored
    assert "赌" not in stored
    await until(harness, lambda alert: alert.seq < 0)  # the message has no number
    [record] = await records(harness)
    assert (record.seq, record.list, record.sender) == (-1, "alert-words.txt", "user:1")


@pytest.mark.gen_test
async def test_a_masked_message_is_masked_for_all_participants(harness: Harness) -> None:
    session, visitor, counsellor = await pair(harness)
    await visitor.send_json({"msg": "you 混 蛋, no class"})
    assert await said(counsellor) == "you * *, no class"
    stored = await history(harness, session)
    assert "you * *, no class" in stored
    assert "混" not in stored


@pytest.mark.gen_test
async def test_pictures_are_not_checked(harness: Harness) -> None:
    waiter = await harness.waiter(5, features=["image"])
    user = await harness.user(6)
    await waiter.until("new_connection")
    await user.until("connect_success")
    await user.send_frame("message_image", {"url": "https://example.org/fuck.png"})
    assert (await waiter.get("message_image"))["payload"] == {"url": "https://example.org/fuck.png"}


@pytest.mark.gen_test
async def test_the_supervisor_of_the_session_is_alerted_once(harness: Harness) -> None:
    session, visitor, counsellor = await pair(harness)
    supervisor = await listen(harness, "supervisor", 3)
    stranger = await listen(harness, "supervisor", 4)
    record = await harness.record(session)
    await supervisor.recv_json()  # the notification of the new record
    await visitor.send_json({"msg": "我想自殺"})
    assert await said(counsellor) == "我想自殺"
    seed = await harness.connect(f"/notify?token={token('supervisor', 3)}")
    while (plain := await seed.recv_json())["type"] != 2 or "关键词" not in plain["msg"]:
        pass
    assert plain["data"] == {"sessionId": record, "observeSessionId": session}
    frame = await supervisor.recv_json()
    assert frame["type"] == 2
    assert frame["data"] == {"sessionId": str(record), "observeSessionId": str(session), "alert": True}
    assert frame["msg"] == f"会话 {session} 触发了关键词提醒, 请尽快查看"
    observer = await harness.connect(f"/observe?token={token('supervisor', 3)}&sessionId={session}")
    await visitor.send_json({"msg": "harmless"})
    assert (await observer.recv_json())["msg"] == "harmless"
    await visitor.send_json({"msg": "自杀"})  # the supervisor was notified already
    assert (await observer.recv_json())["msg"] == "自杀"
    message = Message(Thread(Kind.SESSION, session), 1, Person(Role.USER, "1"), "我想自殺", 0)
    await plugin(harness.server).message_posted(message)  # called again, as after a crash
    (alert,) = await alerts(harness)
    assert (alert.kind, alert.thread_id, alert.seq, alert.list) == (1, session, 1, "alert-words.txt")
    assert await told(harness, 1) == ["supervisor:3"]
    with pytest.raises(TimeoutError):
        await stranger.recv_json(0.05)


@pytest.mark.gen_test
@pytest.mark.parametrize("options", [{"escalate_after": "0.2"}])
async def test_an_alert_escalates_to_supervisors_then_administrators_then_the_log(
    harness: Harness, expected_logs: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.append("is still unread")
    session, visitor, _ = await pair(harness)
    people = {role_id: await listen(harness, *role_id) for role_id in [("supervisor", 3), ("supervisor", 4)]}
    admins = [await listen(harness, "admin", id) for id in (8, 9)]
    record = await harness.record(session)
    await people["supervisor", 3].recv_json()
    await visitor.send_json({"msg": "kill myself"})
    first = await people["supervisor", 3].recv_json()
    assert first["data"] == {"sessionId": str(record), "observeSessionId": str(session), "alert": True}
    second = await people["supervisor", 4].recv_json()
    assert second["data"]["observeSessionId"] == str(session)
    assert second["data"]["sessionId"] != str(record)
    await harness.connect(f"/observe?token={token('supervisor', 4)}&sessionId={session}")
    for admin in admins:
        frame = await admin.recv_json()
        assert frame["data"] == {"sessionId": str(session), "observeSessionId": str(session), "alert": True}
    alert = await until(harness, lambda alert: alert.due is None)
    assert alert.stage == Stage.EXHAUSTED
    assert alert.acknowledged is None
    assert await told(harness, 4) == ["supervisor:3", "supervisor:4", "admin:8", "admin:9"]
    await until(harness, lambda alert: "is still unread" in caplog.text)


@pytest.fixture
def severe(tmp_path: Path, lists: dict[str, Path], options: dict[str, str]) -> Path:
    """A severe alert list beside the other one."""
    path = tmp_path / "severe-words.txt"
    path.write_text("吞药\n", "utf-8")
    options |= {"alert": f"{lists['alert']}, {path}", "severity": f"{path} = severe"}
    return path


@pytest.mark.gen_test
async def test_every_alert_is_recorded_and_only_those_of_one_list_and_sender_are_merged(
    severe: Path, harness: Harness
) -> None:
    session, visitor, counsellor = await pair(harness)
    supervisor = await listen(harness, "supervisor", 3)
    await harness.record(session)
    await supervisor.recv_json()
    calls = []
    for client, text, calls_more in [
        (visitor, "自杀", True),
        (visitor, "还是自杀", False),  # the same list and sender
        (counsellor, "你想自杀吗", True),
        (visitor, "我想吞药", True),
        (visitor, "自杀, 吞药", True),  # each message with a severe word
        (visitor, "吞", False),
        (visitor, "药", True),
    ]:
        await client.send_json({"msg": text})
        other = counsellor if client is visitor else visitor
        assert await said(other) == text
        if calls_more:
            calls.append((await supervisor.recv_json())["msg"])
    text = f"会话 {session} 触发了关键词提醒, 请尽快查看"
    assert calls == [text] * 2 + [f"紧急: {text}"] * 3
    mild, bad = "alert-words.txt", "severe-words.txt"
    found_records = [(row.alert, row.seq, row.list, row.sender) for row in await records(harness, 7)]
    assert found_records == [
        (1, 1, mild, "user:1"),
        (1, 2, mild, "user:1"),
        (2, 3, mild, "consultant:2"),
        (3, 4, bad, "user:1"),
        (1, 5, mild, "user:1"),
        (4, 5, bad, "user:1"),
        (5, 7, bad, "user:1"),
    ]
    assert [row.list for row in await alerts(harness)] == [mild, mild, bad, bad, bad]
    keeper = AlertKeeper()
    person = Person(Role.USER, "1")
    exported = await read(harness, lambda database: keeper.of_person(database, person))
    assert len(exported["keyword_filter_record"]) == 6
    erased = await harness.server._store.write(lambda tx: keeper.erase_person(tx, person))
    assert erased["keyword_filter_record"] == 6
    exported = await read(harness, lambda database: keeper.of_person(database, person))
    assert exported["keyword_filter_record"] == []
    thread = Thread(Kind.SESSION, session)
    removed = await harness.server._store.write(lambda tx: keeper.conversations_removed(tx, [thread]))
    assert (removed["keyword_filter_record"], removed["keyword_filter_alert"]) == (7, 5)


@pytest.mark.gen_test
async def test_a_flood_of_severe_words_raises_few_alerts(severe: Path, harness: Harness) -> None:
    session, visitor, counsellor = await pair(harness)
    supervisor = await listen(harness, "supervisor", 3)
    await harness.record(session)
    await supervisor.recv_json()
    for number in range(20):
        await visitor.send_json({"msg": f"吞药 {number}"})
        await said(counsellor)
    await counsellor.send_json({"msg": "吞药?"})
    found = await records(harness, 21)
    assert [row.alert for row in found] == [1, 2, 3, 4, *[5] * 16, 6]
    assert [row.sender for row in found if row.alert == 6] == ["consultant:2"]
    # A further message raises an alert when one was read.
    while await read(harness, lambda database: KeywordFilterNotified.select().count(database)) < 6:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    inbox = await harness.api("GET", "/api/v1/notifications", token("supervisor", 3))
    number = json.loads(inbox.body)["items"][2]["notification_id"]
    answer = await harness.api("POST", f"/api/v1/notifications/{number}/read", token("supervisor", 3))
    assert answer.code == 200
    for _ in range(2):
        await visitor.send_json({"msg": "吞药"})
        await said(counsellor)
    assert [row.alert for row in (await records(harness, 23))[21:]] == [7, 7]


@pytest.mark.gen_test
async def test_an_alert_word_in_a_refused_message_raises_an_alert_without_the_text(harness: Harness) -> None:
    session, visitor, _ = await pair(harness)
    admin = await listen(harness, "admin", 9)
    for number in (1, 2):
        await visitor.send_json({"msg": "赌博 自杀"})
        assert "不允许" in (await visitor.recv_json())["msg"]
        if number == 1:
            frame = await admin.recv_json()
            assert frame["msg"] == f"会话 {session} 触发了关键词提醒, 请尽快查看"
    assert [(row.alert, row.seq) for row in await records(harness, 2)] == [(1, -1), (1, -2)]
    assert "自杀" not in await history(harness, session)


@pytest.mark.gen_test
async def test_people_who_have_gone_are_skipped_and_administrators_hear_at_once(harness: Harness) -> None:
    """``escalate_after`` is two minutes: no step is waited for."""
    session, visitor, _ = await pair(harness)
    for id in (3, 4, 5):
        away = await listen(harness, "supervisor", id)
        await away.close()
    await harness.record(session)
    admin = await listen(harness, "admin", 8)
    for name, id, disabled in [("removed", "21", False), ("disabled", "22", True)]:
        await add_account(harness, name, Role.ADMIN, id, disabled=disabled)
    await add_account(harness, "gone", Role.SUPERVISOR, "3", disabled=True)  # who has the session's record
    await harness.server._store.write(lambda tx: staff.remove(tx.database, "removed", tx.now))
    await until_offline(harness, 3, 4, 5)
    await visitor.send_json({"msg": "自杀"})
    assert (await admin.recv_json())["data"]["observeSessionId"] == str(session)
    assert await told(harness, 1) == ["admin:8"]
    alert = await until(harness, lambda alert: alert.stage == Stage.OFFLINE)
    assert alert.due > alert.created


@pytest.mark.gen_test
@pytest.mark.parametrize("options", [{"escalate_after": "0.05"}])
async def test_supervisors_who_are_offline_come_after_the_administrators(
    harness: Harness, expected_logs: list[str]
) -> None:
    expected_logs.append("is still unread")
    _, visitor, _ = await pair(harness)
    for id in (3, 4):
        away = await listen(harness, "supervisor", id)
        await away.close()
    online = await listen(harness, "supervisor", 5)
    await listen(harness, "admin", 8)
    await add_account(harness, "new", Role.SUPERVISOR, "6")  # never signed in
    await until_offline(harness, 3, 4)
    await visitor.send_json({"msg": "自杀"})
    assert (await online.recv_json())["type"] == 2
    await until(harness, lambda alert: alert.stage == Stage.EXHAUSTED)
    people = ["supervisor:5", "admin:8", "supervisor:3", "supervisor:4", "supervisor:6"]
    assert await told(harness, 5) == people


@pytest.mark.gen_test
async def test_of_two_processes_one_takes_the_step_of_an_alert(harness: Harness) -> None:
    _, visitor, _ = await pair(harness)
    supervisor = await listen(harness, "supervisor", 3)
    await visitor.send_json({"msg": "自杀"})
    await supervisor.recv_json()
    row = await until(harness, lambda alert: alert.stage == Stage.SUPERVISOR)
    thread = Thread(Kind(row.kind), row.thread_id)
    alert = Alert(row.id, thread, row.seq, row.list, Stage(row.stage), row.due)

    def claim(tx: Any) -> bool:
        return alert_queries.claim(tx, alert, 1_000_000)

    assert [await harness.server._store.write(claim) for _ in range(2)] == [True, False]


async def add_account(harness: Harness, name: str, role: Role, id: str, *, disabled: bool = False) -> None:
    account = StaffAccount(name, None, Person(role, id), 0, disabled)
    await harness.server._store.write(lambda tx: staff.add(tx.database, account, "hash"))


async def until_offline(harness: Harness, *supervisors: int) -> None:
    context = harness.server._contexts["keyword_filter"]
    for id in supervisors:
        while await context.online(Person(Role.SUPERVISOR, str(id))):
            await harness.api("GET", "/healthz")


@pytest.mark.gen_test
async def test_people_shut_out_by_a_revocation_have_gone(harness: Harness) -> None:
    await listen(harness, "supervisor", 3)
    await listen(harness, "supervisor", 4)
    gone, there = Person(Role.SUPERVISOR, "3"), Person(Role.SUPERVISOR, "4")

    def revoke(tx: Any) -> None:
        for person, all_tokens in ((gone, True), (there, False)):
            revocations.add(tx.database, person, tx.now, tx.now + 10**9, all_tokens, "test")

    await harness.server._store.write(revoke)
    context = harness.server._contexts["keyword_filter"]
    assert await context.people(Role.SUPERVISOR) == [there]
    assert await context.reachable([gone, there]) == [there]


async def until(harness: Harness, done: Callable[[KeywordFilterAlert], bool]) -> KeywordFilterAlert:
    """Poll until the background task has brought the one alert to the wanted state, and return the alert."""
    while True:
        for alert in await alerts(harness):
            if done(alert):
                return alert


@pytest.mark.gen_test
@pytest.mark.parametrize("options", [{"escalate_after": "0.2", "alert_role": "supervisor"}])
async def test_reading_a_notification_ends_the_escalation(harness: Harness) -> None:
    _, visitor, _ = await pair(harness)
    people = {id: await listen(harness, "supervisor", id) for id in (3, 4)}
    admin = await listen(harness, "admin", 9)
    await visitor.send_json({"msg": "自杀"})
    frame = await people[3].recv_json()
    answer = await harness.api("POST", f"/api/v1/notifications/{frame['id']}/read", token("supervisor", 3))
    assert json.loads(answer.body)["read"] is True
    alert = await until(harness, lambda alert: alert.acknowledged is not None)
    assert alert.due is None
    assert await told(harness, 1) == ["supervisor:3"]
    for client in (people[4], admin):
        with pytest.raises(TimeoutError):
            await client.recv_json(0.05)


@pytest.mark.gen_test
@pytest.mark.parametrize("options", [{"alert_role": "supervisor"}])
async def test_a_supervisor_who_is_online_comes_first(harness: Harness) -> None:
    _, visitor, _ = await pair(harness)
    away = await listen(harness, "supervisor", 3)
    there = await listen(harness, "supervisor", 4)
    await away.close()
    gone = Person(Role.SUPERVISOR, "3")
    context = harness.server._contexts["keyword_filter"]
    while await context.online(gone):
        await harness.api("GET", "/healthz")
    await visitor.send_json({"msg": "自杀"})
    assert (await there.recv_json())["type"] == 2
    assert await told(harness, 1) == ["supervisor:4"]


@pytest.mark.gen_test
@pytest.mark.parametrize("options", [{"alert_role": "admin"}])
async def test_administrators_are_notified_together(harness: Harness) -> None:
    session, visitor, _ = await pair(harness)
    supervisor = await listen(harness, "supervisor", 3)
    admin = await listen(harness, "admin", 9)
    await visitor.send_json({"msg": "自杀"})
    assert (await admin.recv_json())["data"] == {
        "sessionId": str(session),
        "observeSessionId": str(session),
        "alert": True,
    }
    with pytest.raises(TimeoutError):
        await supervisor.recv_json(0.05)


@pytest.mark.gen_test
async def test_a_supervisor_is_not_alerted_of_an_own_message(harness: Harness) -> None:
    session, _, _ = await pair(harness)
    record = await harness.record(session)
    admin = await listen(harness, "admin", 9)
    supervisor = await harness.chat(token("supervisor", 3), record, type=1)
    counsellor = await harness.chat(COUNSELLOR, record, type=1)
    await supervisor.send_json({"msg": "he said 自杀"})
    assert await said(counsellor) == "he said 自杀"
    assert (await admin.recv_json())["data"] == {
        "sessionId": str(session),
        "observeSessionId": str(session),
        "alert": True,
    }
    (alert,) = await alerts(harness)
    assert (alert.kind, alert.thread_id) == (Kind.RECORD, record)
    assert await told(harness, 1) == ["admin:9"]


@pytest.mark.gen_test
@pytest.mark.parametrize("options", [{"escalate_after": "0.1"}])
async def test_alerts_of_support_conversations_climb_the_supervisors_of_the_group_first(
    harness: Harness,
) -> None:
    groups = {"default": config.Group(supervisors=("supervisor:4",))}
    await harness.server.reload(replace(harness.config, groups=groups))
    first, then = await listen(harness, "supervisor", 4), await listen(harness, "supervisor", 3)
    admin = await listen(harness, "admin", 9)
    waiter = await harness.waiter(5)
    user = await harness.user(6)
    await user.until("connect_success")
    await user.send_frame("message_text", {"message": "自杀"})
    for client in (first, then):
        frame = await client.recv_json()
        (alert,) = await alerts(harness)
        record = int(frame["data"].pop("sessionId"))
        assert frame["data"] == {"observeConversationId": str(alert.thread_id), "alert": True}
        assert frame["type"] == 2
        assert frame["msg"] == f"客服对话 {alert.thread_id} 触发了关键词提醒, 请尽快查看"
        talk = await harness.chat(token("supervisor", 4 if client is first else 3), record, type=1)
        assert talk.close_code is None
    assert (await admin.recv_json())["data"] == {"alert": True}
    assert await told(harness, 3) == ["supervisor:4", "supervisor:3", "admin:9"]
    assert (await waiter.until("message_text"))["payload"] == {"message": "自杀"}


@pytest.mark.gen_test
@pytest.mark.parametrize("options", [{"alert_score": "90"}])
async def test_words_of_a_user_who_waits_for_its_first_waiter_are_filtered_and_alert(
    harness: Harness,
) -> None:
    admin = await listen(harness, "admin", 9)
    before = await harness.user(7, features=["early"])
    assert (await before.until("connect_queue"))["payload"]["location"] == 1
    user = await harness.user(6, features=["early", "ack", "seq"])
    waiting = (await user.until("connect_queue"))["payload"]
    number = waiting["conversation"]
    assert waiting["location"] == 2
    await user.send_frame("message_text", {"message": "賭博"})
    assert "未发送" in (await user.until("error"))["payload"]["message"]
    for text in ("fuck", "我想自杀"):
        await user.send_frame("message_text", {"message": text})
        await user.until("message_text_success")
    assert (await admin.recv_json())["msg"] == f"客服对话 {number} 触发了关键词提醒, 请尽快查看"
    (alert,) = await alerts(harness)
    assert (alert.kind, alert.thread_id, alert.seq) == (Kind.SUPPORT, number, 2)
    while (await user.until("connect_queue"))["payload"]["location"] != 1:  # by ``alert_score``
        pass
    waiter = await harness.waiter(5)
    for text in ("****", "我想自杀"):
        assert (await waiter.until("message_text"))["payload"] == {"message": text}


@pytest.mark.gen_test
@pytest.mark.parametrize("options", [{"escalate_after": "0.1"}])
async def test_an_alert_without_recipients_is_logged_once_and_retried(
    harness: Harness, expected_logs: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs += ["there is no supervisor or administrator", "is still unread"]
    _, visitor, _ = await pair(harness)
    await visitor.send_json({"msg": "自杀"})
    first = await until(harness, lambda alert: alert.stage == Stage.NO_RECIPIENT)
    await until(harness, lambda alert: alert.due > first.due)  # tried again
    assert len(re.findall("there is no supervisor", caplog.text)) == 1
    admin = await harness.connect(f"/notify?token={token('admin', 9)}")
    assert (await admin.recv_json())["type"] == 2


@pytest.mark.gen_test
@pytest.mark.parametrize("options", [{"escalate_after": "0.5"}])
async def test_a_restart_continues_the_escalation(harness: Harness, expected_logs: list[str]) -> None:
    expected_logs.append("is still unread")
    _, visitor, _ = await pair(harness)
    supervisor = await listen(harness, "supervisor", 3)
    admin = await listen(harness, "admin", 9)
    await visitor.send_json({"msg": "自杀"})
    assert (await supervisor.recv_json())["type"] == 2
    await admin.close()
    await harness.server.stop()
    harness.server = Server(harness.config)
    await harness.server.start()
    admin = await harness.connect(f"/notify?token={token('admin', 9)}")
    while (await admin.recv_json())["type"] != 2:
        pass
    assert await told(harness, 2) == ["supervisor:3", "admin:9"]


@pytest.mark.gen_test
async def test_errors_of_the_database_and_of_one_alert_are_retried(
    harness: Harness,
    expected_logs: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    expected_logs += ["alerts failed, trying again", "alert 1 failed, trying again"]
    module = "tornado_chat_plugins.keyword_filter.alerts"
    monkeypatch.setattr(f"{module}.RETRY_SECONDS", 0.05)
    _, visitor, _ = await pair(harness)
    admin = await listen(harness, "admin", 9)
    context = harness.server._contexts["keyword_filter"]
    whole, calls = context.people, []

    async def broken(role: Role) -> Sequence[Person]:
        calls.append(role)
        if len(calls) == 1:
            raise RuntimeError("no")
        return await whole(role)

    async def away(query: Any) -> Any:
        monkeypatch.setattr(context, "read", reading)
        raise ConnectionError("away")

    reading = context.read
    monkeypatch.setattr(context, "people", broken)
    monkeypatch.setattr(context, "read", away)
    await visitor.send_json({"msg": "自杀"})
    assert (await admin.recv_json())["type"] == 2
    assert all(re.search(pattern, caplog.text) for pattern in expected_logs)


@pytest.mark.gen_test
async def test_reload_reads_the_lists_again(harness: Harness, lists: dict[str, Path]) -> None:
    _, visitor, counsellor = await pair(harness)
    lists["mask"].write_text("newword\n", "utf-8")
    await harness.server.reload(harness.config)
    await visitor.send_json({"msg": "fuck newword"})
    assert await said(counsellor) == "fuck *******"
    lists["mask"].unlink()
    with pytest.raises(config.ConfigError, match="mask"):
        await harness.server.reload(harness.config)
    await visitor.send_json({"msg": "fuck newword"})
    assert await said(counsellor) == "fuck *******"


@pytest.mark.gen_test
async def test_the_loop_goes_on_while_a_large_list_is_read(harness: Harness, lists: dict[str, Path]) -> None:
    _, visitor, counsellor = await pair(harness)
    count = 20_000
    lists["mask"].write_text("newword\n" + "\n".join(f"字{n}" for n in range(count)), "utf-8")
    turns = 0
    reload = asyncio.create_task(harness.server.reload(harness.config))
    while not reload.done():
        await asyncio.sleep(0)
        turns += 1
    await reload
    # The list is read twice, by the check and for use, and the loop runs in the pause after each piece.
    assert turns > 2 * count / word_lists.PIECE_LINES / 2
    await visitor.send_json({"msg": "newword"})
    assert await said(counsellor) == "*******"


@pytest.mark.gen_test
async def test_suspicious_lines_are_logged_at_a_reload(
    harness: Harness, lists: dict[str, Path], expected_logs: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.append("^lines 1, 2 of .*: a comment after a word")
    lists["alert"].write_text("自杀 # 高危\n轻生\t#\n", "utf-8")
    await harness.server.reload(harness.config)
    assert re.search(expected_logs[0], caplog.messages[-1])
