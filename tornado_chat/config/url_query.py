"""Parser of the part after the question mark in the URLs of databases and Redis servers."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import parse_qsl


def parse_query(text: str, keys: Sequence[str]) -> dict[str, str]:
    """Return the values of the keys in ``text``; a key may be written with underscores.

    :raises ValueError: a key is unknown, is there twice or has no value.
    """
    found: dict[str, str] = {}
    if "@" in text:  # more likely part of a name or password than of an option
        raise ValueError(
            "an @, /, ? or # that belongs to a name or password in it has to be written as %40, %2F, %3F "
            "or %23"
        )
    for given, value in parse_qsl(text, keep_blank_values=True):
        key = given.replace("_", "-").lower()
        if key not in keys:
            near = get_close_matches(key, keys, 1)
            advice = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(keys)}"
            raise ValueError(f'"{given}" is no known key after the question mark; {advice}')
        if key in found:
            raise ValueError(f'"{key}" is in it twice; remove one of the two')
        if not value:
            raise ValueError(f'"{key}" has no value; remove the key, or write {key}=…')
        found[key] = value
    return found


def check_readable(key: str, name: str) -> None:
    """Check that this process can read the file that a key names.

    :raises ValueError: it cannot.
    """
    try:
        with Path(name).open("rb") as file:
            file.read(1)
    except OSError as error:
        raise ValueError(
            f'{key}: "{name}" cannot be read: {error.strerror}; it has to be a file that this user may read'
        ) from error
