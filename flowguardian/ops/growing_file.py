"""A text file that goes on in a next, numbered one when it is large; the oldest of its family are removed.

Rule: nothing is ever renamed, because Windows refuses that while anybody has the file open; one process
writes a file; all files are UTF-8 with line feeds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

FILE_BYTES = 50_000_000
FILES = 40


class GrowingFile:
    """Writes lines to `stem.suffix`, `stem-002.suffix`, …; `family` is how all files it may remove begin."""

    def __init__(
        self,
        directory: Path,
        family: str,
        suffix: str,
        *,
        max_bytes: int = FILE_BYTES,
        max_files: int = FILES,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory, self._family, self._suffix = directory, family, suffix
        self._max_bytes, self._max_files = max_bytes, max_files
        self._file: BinaryIO | None = None
        self._stem, self._size = "", 0

    def write(self, stem: str, text: str) -> None:
        """Append lines; another stem (a new day) is another file. Raises OSError."""
        file = self._file
        if file is None or stem != self._stem or self._size >= self._max_bytes:
            file = self._open(stem)
        # A lone surrogate in a message must not cost the record.
        data = text.encode("utf-8", errors="backslashreplace")
        file.write(data)
        file.flush()
        self._size += len(data)

    def _open(self, stem: str) -> BinaryIO:
        self.close()
        # On from the newest: a number whose file was removed is not used again.
        number = max(self._numbers(stem), default=1)
        path = self._path(stem, number)
        if path.is_file() and path.stat().st_size >= self._max_bytes:
            path = self._path(stem, number + 1)
        self._file, self._stem = path.open("ab"), stem
        self._size = path.stat().st_size
        self._remove_oldest(path)
        return self._file

    def _path(self, stem: str, number: int) -> Path:
        return self._directory / (f"{stem}-{number:03d}{self._suffix}" if number > 1 else stem + self._suffix)

    def _numbers(self, stem: str) -> Iterator[int]:
        for path in self._directory.glob(f"{stem}*{self._suffix}"):
            # What follows the stem may also be the rest of a longer PID: that file is another's.
            if found := re.fullmatch(r"-(\d{3,})|", path.stem[len(stem) :]):
                yield int(found[1] or 1)

    def files(self) -> list[Path]:
        """The files of the family, oldest first."""
        found = [path for path in self._directory.iterdir() if self._is_family(path)]
        return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))

    def _is_family(self, path: Path) -> bool:
        return path.name.startswith(self._family) and path.suffix == self._suffix

    def _remove_oldest(self, current: Path) -> None:
        others = [path for path in self.files() if path != current]
        for path in others[: max(0, len(others) + 1 - self._max_files)]:
            # One that somebody reads just now goes the next time.
            with suppress(OSError):
                path.unlink()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
