"""Images in a tar, as WebDataset has them: read in place, nothing is ever unpacked onto the disk."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

from sgcli.data.faults import Fault, UnreadableFile
from sgcli.data.source import (
    MAX_FILE_BYTES,
    Entry,
    Source,
    digest,
    explain_unreadable,
    is_ignored,
    is_image_name,
    leads_out,
)
from sgcli.errors import FormatError, SgError

MAGIC_AT, MAGIC = 257, b"ustar"
MAX_CLASS_BYTES = 16  # of a .cls file, which holds one number


class TarSource(Source):
    """Images in an uncompressed tar. A file `00012.cls` beside `00012.jpg` holds the number of its class (WebDataset).

    Only ordinary files are read: links and sparse files are in `faults`.
    """

    def _list(self) -> None:
        self._places: dict[str, int] = {}  # where each file's content begins
        self._classes: dict[str, int] = {}  # by name without suffix
        with explain_unreadable(self.path):
            self._file = self.path.open("rb")
        try:
            with tarfile.open(fileobj=self._file, mode="r:") as archive:
                for member in archive:
                    self._add_member(member, member.name.removeprefix("./"))
        except SgError:
            raise
        except Exception as error:  # damaged headers make tarfile raise ValueError, UnicodeError and more
            raise FormatError(
                f"{self.path}: not a whole tar (cut short, damaged, or compressed)",
                "copy it again; a compressed one can be read once it is unpacked: gunzip faces.tar.gz",
            ) from error

    def _add_member(self, member: tarfile.TarInfo, name: str) -> None:
        if member.isdir() or any(is_ignored(part) for part in name.split("/") if part != ".."):
            return
        if leads_out(name):
            self.faults.append(Fault("unsafe-name", name))
        elif member.issym() or member.islnk():
            self.faults.append(Fault("unsafe-name", name, f"a link to {member.linkname}"))
        elif not member.isreg() or member.issparse():
            self.faults.append(Fault("unreadable", name, "neither an ordinary file nor a folder"))
        elif name.endswith(".cls"):
            self._add_class(name, os.pread(self._file.fileno(), min(member.size, MAX_CLASS_BYTES), member.offset_data))
        else:
            self._places[name] = member.offset_data
            self._add(name, Entry(member.size, int(member.mtime)))

    def _add_class(self, name: str, text: bytes) -> None:
        if text.strip().isdigit():
            self._classes[name.removesuffix(".cls")] = int(text)
        else:
            self.faults.append(Fault("bad-label", name, "one class number is needed"))

    def read(self, name: str) -> bytes:
        size = self.entries[name].size
        if size > MAX_FILE_BYTES:
            raise UnreadableFile(name, "larger than 1 GiB")
        try:
            data = os.pread(self._file.fileno(), size, self._places[name])  # moves no file position: safe from threads
        except OSError as error:
            raise UnreadableFile(name, error.strerror or str(error)) from error
        if len(data) < size:
            raise UnreadableFile(name, "cut short: the tar has changed")
        return data

    def read_annotations(self) -> bytes | None:
        """`dataset.json`, or the same made of the .cls files."""
        content = super().read_annotations()
        if content is not None or not self._classes:
            return content
        images = {name.rpartition(".")[0]: name for name in self.entries if is_image_name(name)}
        labels = [[images[key], number] for key, number in self._classes.items() if key in images]
        return json.dumps({"labels": labels}).encode()

    def state(self) -> str:
        status = self.path.stat()
        return digest([str(self.path.resolve()), status.st_size, status.st_mtime_ns])


def is_tar(path: Path) -> bool:
    """Whether a file begins as a tar does, or is called one."""
    with explain_unreadable(path), open(path, "rb") as file:
        head = file.read(MAGIC_AT + len(MAGIC))
    return head[MAGIC_AT:] == MAGIC or path.name.lower().endswith((".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.zst"))
