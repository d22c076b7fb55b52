"""The speed of the keyword filter, compared with a loop of ``word in text``, and its worst cases.

A worst case is a message of the largest size that consists of matches, or of words in mixed scripts. The stop
of the event loop is measured while the plugin reads large lists, as at SIGHUP.
"""

import asyncio
import random
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tornado_chat_plugins.keyword_filter import KeywordFilter
from tornado_chat_plugins.keyword_filter.matching import Matcher
from tornado_chat_plugins.keyword_filter.normalising import Normaliser
from tornado_chat_plugins.keyword_filter.word_lists import WordAction

from tornado_chat.bench.comparison import Candidate, compare_times

WORD_COUNT = 10_000
TEXT_CHARACTERS = 200
WORST_BYTES = 60_000
NESTED_WORDS = 50
LARGE_LISTS = (10_000, 200_000, 1_000_000)
LAG_INTERVAL_SECONDS = 0.002

WORST_CASES = {
    # name: (words of the mask list, the text that is repeated)
    "ass": (["ass"], "ass "),
    "single letters": (["a"], "a "),
    "酒": (["酒"], "酒"),
    f"{NESTED_WORDS} nested words": (["哈" * n for n in range(1, NESTED_WORDS + 1)], "哈"),
    "nested whole words": (["ha" * n for n in range(1, 6)], "ha "),
    "mixed scripts": (["fuck"], "fuсk "),
    "mixed scripts, spelled": (["fuck"], "f u с k "),
}


def make_matcher(words: Iterable[str]) -> Matcher:
    with tempfile.TemporaryDirectory() as folder:
        masked, alerts = Path(folder) / "words.txt", Path(folder) / "alerts.txt"
        masked.write_text("\n".join(sorted(words)), "utf-8")
        alerts.write_text("自杀\n", "utf-8")
        lists = {WordAction.MASK: [str(masked)], WordAction.ALERT: [str(alerts)]}
        return Matcher(Normaliser.shared(), lists)


def prepare_worst() -> Sequence[Sequence[Candidate]]:
    """Return the worst cases: ``filter_message`` and ``message_posted`` of one message."""
    candidates = []
    for name, (words, repeated) in WORST_CASES.items():
        matcher = make_matcher(words)
        text = repeated * (WORST_BYTES // len(repeated.encode()))
        candidates.append(
            [
                Candidate(f"{name}: filter", lambda m=matcher, text=text: m.check(text), 1),
                Candidate(f"{name}: alert", lambda m=matcher, text=text: m.find_alerts(text), 1),
            ]
        )
    return candidates


IDEOGRAPHS = [chr(code) for code in range(0x4E00, 0x9FA5)]
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def random_words(chance: random.Random, count: int) -> set[str]:
    words = {"".join(chance.choices(IDEOGRAPHS, k=chance.randint(2, 4))) for _ in range(count // 2)}
    return words | {"".join(chance.choices(LETTERS, k=chance.randint(6, 10))) for _ in range(count // 2)}


async def measure_lag(path: Path) -> tuple[float, float]:
    """Return the seconds that the plugin takes to read a list, and the longest stop of the loop meanwhile."""
    settings = KeywordFilter.Settings(mask=(str(path),))
    plugin = KeywordFilter(settings)
    lags = [0.0]

    async def watch() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(LAG_INTERVAL_SECONDS)
            now = time.perf_counter()
            lags.append(now - last - LAG_INTERVAL_SECONDS)
            last = now

    watcher = asyncio.create_task(watch())
    started = time.perf_counter()
    await asyncio.to_thread(KeywordFilter.check, settings)  # as the server does before a reload
    await plugin.reload()
    taken = time.perf_counter() - started
    watcher.cancel()
    return taken, max(lags)


def measure_large_lists() -> Iterator[str]:
    yield "keywords: reading a list, and the longest stop of the event loop meanwhile"
    chance = random.Random(1)
    Normaliser.with_emoji()
    for count in LARGE_LISTS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "words.txt"
            path.write_text("\n".join(random_words(chance, count)), "utf-8")
            taken, lag = asyncio.run(measure_lag(path))
        yield f"  {count:>9,} words   {taken:6.2f} s   {lag * 1000:5.0f} ms"


def prepare() -> Sequence[Sequence[Candidate]]:
    chance = random.Random(1)
    ideographs, letters = IDEOGRAPHS, LETTERS
    words = random_words(chance, WORD_COUNT)
    matcher = make_matcher(words)
    plain = sorted(words)
    normal = Normaliser.shared().normalise
    chinese = "".join(chance.choices(ideographs[:3000], k=TEXT_CHARACTERS))
    english = " ".join("".join(chance.choices(letters, k=5)) for _ in range(TEXT_CHARACTERS // 6))[
        :TEXT_CHARACTERS
    ]
    return [
        [
            # The loop gets the normalised text; its normalisation is not measured.
            Candidate(f"{name}: `in` loop", lambda text=normal(text): [w for w in plain if w in text], 1),
            Candidate(
                f"{name}: keyword_filter, normalised",
                lambda text=text: [matcher.check(text) for _ in range(1000)],
                1000,
            ),
        ]
        for name, text in (("Chinese", chinese), ("English", english))
    ]


def measure(rounds: int) -> Iterator[str]:
    yield from compare_times(
        f"keywords: {WORD_COUNT} words in a message of {TEXT_CHARACTERS} characters", prepare(), rounds
    )
    yield from compare_times(
        f"keywords: a message of {WORST_BYTES:,} bytes that consists of matches", prepare_worst(), rounds
    )
    yield from measure_large_lists()
