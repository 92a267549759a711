"""Files that are whole at any moment."""

from __future__ import annotations

import os
from pathlib import Path


def check_place(path: str | os.PathLike[str]) -> Path:
    """`path`, if there can be a file.

    Raises:
        OSError: If it is a directory, or lies in none that exists.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"Argument `path` must lie in a directory that exists. Received: path={str(path)!r}. "
            f"Create it first: {str(target.parent)!r}"
        )
    if target.is_dir():
        raise IsADirectoryError(f"Argument `path` must be a file, not a directory. Received: path={str(path)!r}")
    return target


def write_whole(path: str | os.PathLike[str], text: str) -> None:
    """Writes a file beside `path`, and puts it in its place when it is complete: a reader sees the old one or the new.

    Raises:
        OSError: As `check_place`, or if it cannot be written.
    """
    target = check_place(path)
    unfinished = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        with open(unfinished, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
