"""The speed of the keyword filter, compared with a loop of ``word in text``."""

import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tornado_chat_plugins.keyword_filter.matching import Matcher, WordAction
from tornado_chat_plugins.keyword_filter.normalising import Normaliser

from tornado_chat.bench.comparison import Candidate, compare_times

WORD_COUNT = 10_000
TEXT_CHARACTERS = 200


def prepare() -> Sequence[Sequence[Candidate]]:
    chance = random.Random(1)
    ideographs = [chr(code) for code in range(0x4E00, 0x9FA5)]
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = {"".join(chance.choices(ideographs, k=chance.randint(2, 4))) for _ in range(WORD_COUNT // 2)}
    words |= {"".join(chance.choices(letters, k=chance.randint(6, 10))) for _ in range(WORD_COUNT // 2)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "words.txt"
        path.write_text("\n".join(sorted(words)))
        matcher = Matcher(Normaliser.shared(), {WordAction.MASK: [str(path)]})
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
                lambda text=text: [matcher.find(text) for _ in range(1000)],
                1000,
            ),
        ]
        for name, text in (("Chinese", chinese), ("English", english))
    ]


def measure(rounds: int) -> Iterator[str]:
    return compare_times(
        f"keywords: {WORD_COUNT} words in a message of {TEXT_CHARACTERS} characters", prepare(), rounds
    )
