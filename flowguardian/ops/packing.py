"""A run as a small folder that can be kept, sent and judged anywhere: `pack`, and `unpack` to the same bytes.

Rule: only a run that nobody holds is packed; every file comes back with the bytes it had, or none does.
Addresses, locks, server data and logs stay behind: the views are made anew from the journal.
"""

from __future__ import annotations

import hashlib
import lzma
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from flowguardian import __version__
from flowguardian.journal.journal import JOURNAL, TAPE
from flowguardian.market.tape_coding import CodingError, decode, pieces_of
from flowguardian.notify.outbox import FILE_NAME as OUTBOX
from flowguardian.ops.commands import FILE_NAME as COMMANDS
from flowguardian.ops.manifest import (
    MANIFEST,
    Manifest,
    ManifestError,
    market_path,
    read_manifest,
    with_market_path,
)
from flowguardian.ops.ops_journal import FILE_NAME as OPS
from flowguardian.ops.ownership import ENGINE_LOCK, RUN_LOCK, owned
from flowguardian.ops.platform_files import replace
from flowguardian.ops.venue_process import PLACE_FILE
from flowguardian.venue.trading_log import LEDGER_FILE

INDEX, RECORDS = "pack.json", "records.xz"
FORMAT = 1
_DATABASES = (JOURNAL, OPS, COMMANDS, OUTBOX)
_KEPT = (*_DATABASES, *(f"{name}-wal" for name in _DATABASES), PLACE_FILE, LEDGER_FILE)
"""Beside the manifest and the tape: what a resume and a judge read."""
_RUN_ID = re.compile(r"(?!\.+$)[^\\/:*?\"<>|\x00-\x1f]{1,200}")
_PATH = re.compile(r"(tape/)?[A-Za-z0-9][A-Za-z0-9._-]*")


class PackError(Exception):
    """A folder cannot be packed or unpacked; the message says what to do."""


class PackDamaged(PackError):
    """A pack does not give the bytes that its index promises."""


class PackedFile(msgspec.Struct, frozen=True):
    """A file of the run; `pieces` are the files of the pack it is made of, none for one in the records."""

    path: str
    size: int
    sha256: str
    pieces: tuple[str, ...] = ()


class Pack(msgspec.Struct, frozen=True):
    """What a pack holds: its index file."""

    format: int
    run_id: str
    version: str
    """The version that packed it."""
    market_sha256: str
    """Of the file that the market is read from; empty where there is none."""
    files: tuple[PackedFile, ...]

    @property
    def size(self) -> int:
        """Bytes of the run's files."""
        return sum(file.size for file in self.files)


def pack(run_dir: Path, target: Path, on_file: Callable[[str], None] = lambda _: None) -> Pack:
    """Write a pack of a run that nobody holds, in place of an older pack of the same run.

    Raises PackError, LockHeld (somebody runs it), OSError.
    """
    try:
        manifest = read_manifest(run_dir)
    except ManifestError as error:
        raise PackError(f"{error} Nothing was packed.") from error
    _only_a_pack_of(manifest.run_id, target)
    with (
        owned((run_dir / RUN_LOCK, run_dir / ENGINE_LOCK), f"pack of run {manifest.run_id}"),
        _made_whole(target) as folder,
    ):
        records, plain = _records(run_dir, manifest)
        (folder / RECORDS).write_bytes(lzma.compress(plain))
        coded = []
        for path in sorted((run_dir / TAPE).glob("*.fgt")):
            on_file(path.name)
            coded.append(_coded(path, folder))
        index = Pack(
            format=FORMAT, run_id=manifest.run_id, version=__version__,
            market_sha256=_market_sha256(manifest), files=(*records, *coded),
        )  # fmt: skip
        (folder / INDEX).write_bytes(msgspec.json.format(msgspec.json.encode(index), indent=1) + b"\n")
    return index


def read_index(place: Path) -> Pack:
    """The index of a pack; raises PackError when there is none, PackDamaged when it cannot be read."""
    try:
        index = msgspec.json.decode((place / INDEX).read_bytes(), type=Pack)
    except OSError as error:
        raise PackError(f"{place} is not a pack: {INDEX} is missing ({error.strerror}).") from error
    except msgspec.DecodeError as error:
        raise PackDamaged(f"{place / INDEX}: {error}. Get the pack again.") from error
    if index.format != FORMAT:
        raise PackError(
            f"{place} has format {index.format}, this version reads {FORMAT}. Use a newer version."
        )
    if not _RUN_ID.fullmatch(index.run_id):
        raise PackDamaged(f"{place / INDEX} names a run that no folder can hold: {index.run_id!r}.")
    if wrong := [file.path for file in index.files if not _PATH.fullmatch(file.path)]:
        raise PackDamaged(f"{place / INDEX} names a file outside of a run: {wrong[0]!r}. Do not trust it.")
    return index


def unpack(
    place: Path, run_dir: Path, market: Path | None = None, on_file: Callable[[str], None] = lambda _: None
) -> Pack:
    """Make the run directory of a pack; all of it or nothing.

    `market` is where the market file lies here, needed to go on with a run over a recorded market; to judge
    or verify it is not. Raises PackError, PackDamaged, OSError.
    """
    index = read_index(place)
    if run_dir.exists() and (not run_dir.is_dir() or any(run_dir.iterdir())):
        raise PackError(f"{run_dir} holds something already. Choose a folder that is empty or not there.")
    with _made_whole(run_dir) as folder:
        (folder / TAPE).mkdir()
        plain = _decompressed(place / RECORDS, sum(file.size for file in index.files if not file.pieces))
        offset = 0
        for file in index.files:
            on_file(file.path)
            if file.pieces:
                data = b"".join(_piece(place, name, file.size) for name in file.pieces)
            else:
                data, offset = plain[offset : offset + file.size], offset + file.size
            if len(data) != file.size or hashlib.sha256(data).hexdigest() != file.sha256:
                raise PackDamaged(f"{place}: {file.path} is not what was packed. Get the pack again.")
            (folder / file.path).write_bytes(data)
        if market is not None:
            _place_market(folder / MANIFEST, market, index.market_sha256)
    return index


@contextmanager
def opened(place: Path) -> Iterator[Path]:
    """The run directory of a pack for as long as it is read. Raises like `unpack`."""
    with TemporaryDirectory(prefix="flowguardian-") as folder:
        run_dir = Path(folder) / read_index(place).run_id
        unpack(place, run_dir)
        yield run_dir


# ---- parts


def _only_a_pack_of(run_id: str, target: Path) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not (target / INDEX).is_file() or read_index(target).run_id != run_id:
        raise PackError(f"{target} holds something else than a pack of run {run_id}. Choose another folder.")


@contextmanager
def _made_whole(target: Path) -> Iterator[Path]:
    """A folder that takes the place of `target` when everything in it is written, or leaves no trace."""
    target = target.absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f"{target.name}.", dir=target.parent) as beside:
        new, old = Path(beside) / "new", Path(beside) / "old"
        new.mkdir()
        yield new
        if target.exists():
            replace(target, old)
        try:
            replace(new, target)
        except OSError:
            if old.exists():
                replace(old, target)
            raise


def _records(run_dir: Path, manifest: Manifest) -> tuple[list[PackedFile], bytes]:
    """The manifest without the paths of this machine, and the files beside it."""
    moved = msgspec.structs.replace(manifest, market=_nameless(manifest.market), config_file="")
    found = [(MANIFEST, msgspec.json.format(msgspec.json.encode(moved)))]
    found += [(name, (run_dir / name).read_bytes()) for name in _KEPT if (run_dir / name).is_file()]
    # An empty write-ahead log says nothing.
    found = [(name, data) for name, data in found if data]
    files = [PackedFile(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in found]
    return files, b"".join(data for _, data in found)


def _coded(path: Path, folder: Path) -> PackedFile:
    data = path.read_bytes()
    names = []
    for number, piece in enumerate(pieces_of(data), 1):
        name = f"{path.stem}-{number:03d}.piece"
        (folder / name).write_bytes(piece)
        names.append(name)
    return PackedFile(f"{TAPE}/{path.name}", len(data), hashlib.sha256(data).hexdigest(), tuple(names))


def _piece(place: Path, name: str, size: int) -> bytes:
    if not _PATH.fullmatch(name):
        raise PackDamaged(f"{place / INDEX} names a piece outside of the pack: {name!r}. Do not trust it.")
    try:
        return decode((place / name).read_bytes(), size)
    except FileNotFoundError as error:
        raise PackDamaged(f"{place}: {name} is missing. Get the pack again.") from error
    except CodingError as error:
        raise PackDamaged(f"{place / name}: {error}. Get the pack again.") from error


def _decompressed(path: Path, size: int) -> bytes:
    reader = lzma.LZMADecompressor(lzma.FORMAT_XZ)
    try:
        return reader.decompress(path.read_bytes(), size + 1)
    except FileNotFoundError as error:
        raise PackDamaged(f"{path} is missing. Get the pack again.") from error
    except lzma.LZMAError as error:
        raise PackDamaged(f"{path}: {error}. Get the pack again.") from error


def _nameless(market: str) -> str:
    """A market's specification with the name of its file alone."""
    path = market_path(market)
    return with_market_path(market, path.name) if path is not None else market


def _market_sha256(manifest: Manifest) -> str:
    path = market_path(manifest.market)
    if path is None or not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _place_market(path: Path, market: Path, wanted: str) -> None:
    manifest = read_manifest(path.parent)
    named = market_path(manifest.market)
    if named is None:
        raise PackError("this run reads no market file: leave --market out.")
    if not market.is_file():
        raise PackError(f"{market} is not there. Name the file {named.name} as it lies on this machine.")
    moved = msgspec.structs.replace(
        manifest, market=with_market_path(manifest.market, str(market.absolute()))
    )
    if wanted and _market_sha256(moved) != wanted:
        raise PackError(f"{market} is another market than the run read: its SHA-256 is not {wanted[:12]}….")
    path.write_bytes(msgspec.json.format(msgspec.json.encode(moved)))
