"""Files appear whole or not at all: write to a temporary name in the same folder, then rename."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sgcli.errors import SgError


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success rename it to `path`, on any failure remove it.

    Missing parent folders are created; what is no ordinary file (/dev/null) is yielded itself. Raises SgError with a
    remedy where the folder cannot be written or the disk is full.
    """
    path = Path(path)
    with explain_os_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise SgError(f"{path}: is a folder, a file was expected", f"name a file in it, such as -o {path / 'out'}")
        if path.exists() and not path.is_file():  # a device or a named pipe: nothing to rename over
            yield path
            return
        fd, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(fd)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o666 & ~_umask())  # mkstemp makes files private; results are ordinary files
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success rename it to `path`, on any failure remove it.

    Missing parent folders are created. Raises SgError where `path` already holds something.
    """
    path = Path(path)
    with explain_os_error(path):
        if path.exists() and not path.is_dir():
            raise SgError(f"{path}: is a file, a folder was expected", "choose a name that is not taken")
        if path.is_dir() and any(path.iterdir()):
            raise SgError(f"{path}: the folder is not empty", "choose a name that is not taken")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        try:
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            os.replace(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def only_process(lock: str | os.PathLike) -> Iterator[None]:
    """Let one process at a time into the block, by a lock on the file `lock`, which is made and left.

    The kernel lets go of it when a process dies, however it does.
    """
    with open(lock, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Write `data` to `path` whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write UTF-8 `text` to `path` whole or not at all."""
    write_bytes(path, text.encode())


def check_writable_folder(path: str | os.PathLike) -> Path:
    """Create folder `path` if needed and prove that a file can be written there. Raises SgError otherwise."""
    path = Path(path)
    with explain_os_error(path):
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    return path


def cache_folder() -> Path | None:
    """The user's cache: $SG_CACHE_DIR, else $XDG_CACHE_HOME/sgcli, else ~/.cache/sgcli, created where missing.

    None where no such folder can be written: what is only remembered to save time is then not remembered.
    """
    try:
        if named := os.environ.get("SG_CACHE_DIR"):
            return check_writable_folder(named)
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return check_writable_folder(Path(base) / "sgcli")
    except (SgError, OSError, RuntimeError):  # RuntimeError: Path.home() without a home
        return None


@contextlib.contextmanager
def explain_os_error(path: str | os.PathLike) -> Iterator[None]:
    """Turn the operating system's refusals about `path` into SgErrors with a remedy."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise SgError(f"{path}: the disk is full", "free some space, or write to another disk") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise SgError(
                f"{path}: cannot be written ({error.strerror})", "choose a folder that you may write to"
            ) from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            raise SgError(f"{path}: a file stands where a folder is needed", "choose another folder") from error
        if error.errno == errno.ENOENT:
            raise SgError(f"{path}: no such file or folder", "check the spelling of the path") from error
        raise


def sha256_of_file(path: str | os.PathLike) -> str:
    """Hex SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
