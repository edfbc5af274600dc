"""Files behind URLs (s3://, gs://, https://, file://, memory:// …) through fsspec: fetched once and checked."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from sgcli.errors import FormatError, SgError, UsageError
from sgcli.files import atomic_path, cache_folder, explain_os_error, only_process, sha256_of_file

UNENCRYPTED = ("http", "ftp")
BLOCK = 1 << 20
MAX_SMALL_BYTES = 256 << 20  # an index of a million shards
CACHE_BYTES = 64 << 30  # of fetched files; the longest unused go first


class Unreachable(SgError):
    """A file that is not there, or that cannot be read."""


def join(root: str, name: str) -> str:
    """A file in a folder, of this machine or behind a URL."""
    return f"{root}/{name}" if root else name


def is_url(path: str) -> bool:
    return "://" in path


def open_file(path: str) -> BinaryIO:
    """Open for reading. Raises SgError where it cannot be reached, UsageError where fsspec is missing."""
    if not is_url(path):
        with _explain_unreachable(path):
            return open(path, "rb")
    filesystem, inner = _filesystem(path)
    return cast(BinaryIO, _call(path, filesystem.open, inner, "rb"))


def find(pattern: str) -> list[str]:
    """The files that match a pattern with `*`, sorted. Raises as `open_file` does."""
    if not is_url(pattern):
        return sorted(glob.glob(pattern))
    filesystem, inner = _filesystem(pattern)
    return sorted(filesystem.unstrip_protocol(name) for name in _call(pattern, filesystem.glob, inner))


def version_of(path: str) -> str:
    """Hex key that changes with a file's content, as far as whoever keeps it tells: size, time, ETag.

    Raises as `open_file` does.
    """
    if is_url(path):
        filesystem, inner = _filesystem(path)
        facts = sorted(_call(path, filesystem.info, inner).items())
    else:
        with _explain_unreachable(path):
            status = os.stat(path)
        facts = [("size", status.st_size), ("mtime", status.st_mtime_ns)]
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _filesystem(path: str) -> tuple[Any, str]:
    """What reads a URL, and what the file is called there."""
    if path.partition("://")[0] in UNENCRYPTED:
        raise UsageError(f"{path}: only encrypted connections are used", "https://…, s3://…, gs://…")
    try:
        import fsspec
    except ImportError as error:
        raise UsageError(f"{path}: URLs need fsspec, which is not installed", "pip install 'sgcli[remote]'") from error
    try:
        return fsspec.url_to_fs(path)
    except ImportError as error:  # the protocol's own package
        raise UsageError(f"{path}: {_line(error)}", "pip install s3fs (for s3://) or gcsfs (for gs://)") from error
    except ValueError as error:
        raise UsageError(f"{path}: {_line(error)}", "s3://…, gs://…, https://…, file:///…, or a folder") from error
    except Exception as error:  # every protocol has errors of its own
        raise _unreachable(path, error) from error


def read_small(path: str) -> bytes:
    """The whole content of a file of at most 256 MB. Raises SgError."""
    data = _read(path, MAX_SMALL_BYTES + 1)
    if len(data) > MAX_SMALL_BYTES:
        raise FormatError(f"{path}: larger than {MAX_SMALL_BYTES >> 20} MB", "see what it is")
    return data


def fetch(path: str, size: int, sha256: str) -> Path:
    """A local copy of a file with this size and hash; a file of this machine itself. Raises SgError, FormatError.

    Processes that want the same file at the same time wait for the first one's download.
    """
    if not is_url(path):
        if not os.path.isfile(path):
            raise _unreachable(path, FileNotFoundError("no such file"))
        if os.path.getsize(path) != size:
            raise FormatError(f"{path}: {os.path.getsize(path)} bytes, the index says {size}", "copy it again")
        return Path(path)
    folder = cache_for("fetched")
    target = _place(folder, path, sha256)
    with only_process(folder / "lock"):
        if not target.exists():
            _make_room(folder, size)
            _download(path, target, size, sha256)
        os.utime(target)
    return target


def fetch_unknown(path: str) -> tuple[Path, int, str]:
    """As `fetch`, of a file about which nothing is known: (local copy, size, sha256), with which `fetch` finds it."""
    if not is_url(path):
        with _explain_unreachable(path):
            return Path(path), os.path.getsize(path), sha256_of_file(path)
    folder = cache_for("fetched")
    with only_process(folder / "lock"), tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as own:
        copy = Path(own, "copy")
        size, sha256 = _copy(path, copy)
        _make_room(folder, size)
        return copy.replace(_place(folder, path, sha256)), size, sha256


def cache_for(kind: str) -> Path:
    """A folder for what can be fetched or found out again; where the user has no cache, in the temporary folder."""
    folder = (cache_folder() or Path(tempfile.gettempdir(), f"sgcli-{os.getuid()}")) / kind
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _place(folder: Path, path: str, sha256: str) -> Path:
    return folder / f"{sha256[:32]}{Path(path).suffix}"


def _download(path: str, target: Path, size: int, sha256: str) -> None:
    with atomic_path(target) as temporary:
        if _copy(path, temporary, size) != (size, sha256):
            raise FormatError(f"{path}: not the file that the index describes (size or hash differ)", "copy it again")


def _copy(path: str, target: Path, most: float = math.inf) -> tuple[int, str]:
    """(size, sha256) of what was copied; a little more than `most` bytes at most."""
    size, digest = 0, hashlib.sha256()
    with explain_os_error(target), open(target, "wb") as out, open_file(path) as file:
        while size <= most and (block := _call(path, file.read, BLOCK)):
            size += out.write(block)
            digest.update(block)
    return size, digest.hexdigest()


def _make_room(folder: Path, size: int) -> None:
    """Remove the longest unused files until `size` more bytes fit. Whoever has one open can go on reading it."""
    fetched = (path for path in folder.iterdir() if path.name != "lock" and not path.name.startswith("."))
    files = sorted(fetched, key=lambda path: path.stat().st_mtime)
    used = sum(path.stat().st_size for path in files)
    for path in files:
        if used + size <= CACHE_BYTES:
            return
        used -= path.stat().st_size
        path.unlink(missing_ok=True)


def _read(path: str, limit: int) -> bytes:
    with open_file(path) as file:
        return _call(path, file.read, limit)


def _call(path: str, function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception as error:  # a connection that breaks off, whatever the protocol calls it
        raise _unreachable(path, error) from error


@contextlib.contextmanager
def _explain_unreachable(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unreachable(path, error) from error


def _unreachable(path: str, error: Exception) -> Unreachable:
    reason = getattr(error, "strerror", None) or _line(error)
    return Unreachable(f"{path}: cannot be read ({reason})", "check the address, the network and who may read it")


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
