"""Files behind URLs (s3://, gs://, https://, file://, memory:// …) through fsspec: fetched once and checked."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, BinaryIO, cast

from sgcli.errors import FormatError, SgError, UsageError
from sgcli.files import atomic_path, cache_folder, only_process, sha256_of_file

UNENCRYPTED = ("http", "ftp")
BLOCK = 1 << 20
MAX_SMALL_BYTES = 256 << 20  # an index of a million shards
CACHE_BYTES = 64 << 30  # of fetched files; the longest unused go first


def join(root: str, name: str) -> str:
    """A file in a folder, of this machine or behind a URL."""
    return f"{root}/{name}" if root else name


def is_url(path: str) -> bool:
    return "://" in path


def open_file(path: str) -> BinaryIO:
    """Open for reading. Raises SgError where it cannot be reached, UsageError where fsspec is missing."""
    if not is_url(path):
        try:
            return open(path, "rb")
        except OSError as error:
            raise _unreachable(path, error) from error
    if path.partition("://")[0] in UNENCRYPTED:
        raise UsageError(f"{path}: only encrypted connections are used", "https://…, s3://…, gs://…")
    try:
        import fsspec
    except ImportError as error:
        raise UsageError(f"{path}: URLs need fsspec, which is not installed", "pip install 'sgcli[remote]'") from error
    try:
        return cast(BinaryIO, fsspec.open(path, "rb").open())
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
    folder = (cache_folder() or Path(tempfile.gettempdir(), f"sgcli-{os.getuid()}")) / "fetched"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{sha256[:32]}{Path(path).suffix}"
    with only_process(folder / "lock"):
        if not target.exists():
            _make_room(folder, size)
            _download(path, target, size, sha256)
        os.utime(target)
    return target


def _download(path: str, target: Path, size: int, sha256: str) -> None:
    with atomic_path(target) as temporary, open(temporary, "wb") as out, open_file(path) as file:
        written = 0
        while block := _call(path, file.read, BLOCK):
            written += out.write(block)
            if written > size:
                break
        out.flush()
        if written != size or sha256_of_file(temporary) != sha256:
            raise FormatError(f"{path}: not the file that the index describes (size or hash differ)", "copy it again")


def _make_room(folder: Path, size: int) -> None:
    """Remove the longest unused files until `size` more bytes fit. Whoever has one open can go on reading it."""
    files = sorted((path for path in folder.iterdir() if path.name != "lock"), key=lambda path: path.stat().st_mtime)
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


def _unreachable(path: str, error: Exception) -> SgError:
    reason = getattr(error, "strerror", None) or _line(error)
    return SgError(f"{path}: cannot be read ({reason})", "check the address, the network and who may read it")


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
