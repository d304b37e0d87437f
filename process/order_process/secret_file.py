"""A secret in a file that a variable names: a line of text, read whenever it is needed, so that another one counts."""

from pathlib import Path


def text_of(variable: str, file: Path) -> str:
    """What the file holds now. Raises ValueError, with a sentence that names both."""
    try:
        text = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as wrong:
        raise ValueError(f"{variable}: {file} cannot be read: {wrong}") from wrong
    if not text:
        raise ValueError(f"{variable}: {file} is empty")
    return text
