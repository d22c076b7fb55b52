"""Texts of options that may be long: written in the option, or in a file that the option names."""

from pathlib import Path

from tornado_chat.config.ini import InvalidValue

FILE_PREFIX = "@"
"""The beginning of a value that names a file."""


def read_text(value: str, max_chars: int) -> str:
    """Return the text of an option: the value, or the content of the UTF-8 file that ``@/path`` names.

    :raises InvalidValue: the file cannot be read or is empty, or the text is too long.
    """
    if value.startswith(FILE_PREFIX):
        path = Path(value.removeprefix(FILE_PREFIX))
        if not path.is_absolute():
            raise InvalidValue(f'"{value}" is no absolute path after @; use one like @/etc/tornado-chat/text')
        try:
            value = path.read_text("utf-8-sig").strip()
        except OSError as error:
            raise InvalidValue(f'"{path}" cannot be read: {error.strerror}') from error
        except UnicodeDecodeError as error:
            raise InvalidValue(f'"{path}" is not UTF-8: see byte {error.start + 1}') from error
        if not value:
            raise InvalidValue(f'"{path}" is empty; write the text into it')
    if len(value) > max_chars:
        raise InvalidValue(f"the text has {len(value)} characters; {max_chars} are allowed")
    return value
