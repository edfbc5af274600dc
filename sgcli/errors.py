"""Errors that a user can act on: a line that says what was given and what is allowed, a hint with what to type next.

The library raises these; `sgcli.__main__` prints them and turns them into an exit status. A programmer's mistake stays
an ordinary exception with its traceback.
"""

from __future__ import annotations


class SgError(Exception):
    """Something in the user's world is wrong (a file, a folder, a disk). Exit status 1."""

    exit_status = 1

    def __init__(self, message: str, hint: str | None = None):
        super().__init__(message)
        self.message = message
        self.hint = hint


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, PyTorch's allocator of this device or that of the CPU has found no memory."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(part in str(error) for part in words)
    )


class UsageError(SgError):
    """The command was typed wrongly: an option's value, a combination, a missing argument. Exit status 2."""

    exit_status = 2


class FormatError(SgError):
    """A file is not what it was taken for: damaged, of another kind, or of the wrong shape."""


class Interrupted(BaseException):
    """Stopped by a signal, or at its wish after everything was saved. Exit status 128 + signal number (130 or 143).

    Like KeyboardInterrupt it is no Exception: nothing that handles failures on its way may take it for one.
    """

    def __init__(self, signal_number: int, message: str = "interrupted", hint: str | None = None):
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_status = 128 + signal_number
