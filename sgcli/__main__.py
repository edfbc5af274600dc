"""Entry point of `sg`, `sgcli` and `python -m sgcli`: run the app, turn every ending into an exit status.

0 done, 1 failed, 2 wrong usage, 130/143 interrupted (after saving), 141 and silence on a closed pipe.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence

import typer

from sgcli import provenance
from sgcli.errors import Interrupted, SgError, is_out_of_memory

CLICK_ERROR: type[Exception] = typer.BadParameter.__mro__[-4]  # click's ClickException, wherever this typer keeps it
STATUS_CLOSED_PIPE = 128 + signal.SIGPIPE
OUT_OF_MEMORY = ("out of memory", "ask for less at once: a smaller --batch or a smaller picture")
STATUS_INTERRUPTED = 128 + signal.SIGINT


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `sg` with `arguments` (default: the process's own) and exit."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    signal.signal(signal.SIGTERM, _terminate)
    status = run(arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        status = STATUS_CLOSED_PIPE
    if status == STATUS_CLOSED_PIPE:
        _forget_stdout()
    sys.exit(status)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit status; errors are printed, never raised."""
    from sgcli.app import app

    show_traceback = "--traceback" in arguments
    arguments = [argument for argument in arguments if argument != "--traceback"]
    provenance.begin(arguments)
    try:
        status = int(app(args=arguments, prog_name="sg", standalone_mode=False, obj=arguments) or 0)
        if status == STATUS_INTERRUPTED and not _is_follower():  # what typer makes of Ctrl-C
            print("interrupted", file=sys.stderr)
        return status
    except SystemExit as ending:  # what typer makes of a closed pipe: exit 1, and wrappers around the streams
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        return STATUS_CLOSED_PIPE if isinstance(ending.__context__, BrokenPipeError) else int(ending.code or 0)
    except typer.Abort:
        if not _is_follower():
            print("interrupted", file=sys.stderr)
        return STATUS_INTERRUPTED
    except Interrupted as error:
        if not _is_follower():  # worker 0 says it for all
            _print_error(error.message, error.hint, show_traceback)
        return error.exit_status
    except SgError as error:
        _print_error(error.message, error.hint, show_traceback)
        return error.exit_status
    except CLICK_ERROR as error:
        _print_error(_usage_message(error), _hint_for_usage(error), show_traceback)
        return 2
    except Exception as error:
        if is_out_of_memory(error):
            _print_error(*OUT_OF_MEMORY, show_traceback)
            return 1
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        _print_error(f"unexpected: {what}", "a defect of sg: run again with --traceback and report it", show_traceback)
        return 1


def _terminate(number: int, _frame: object) -> None:
    """End by an exception, so that half-written files are removed on the way out."""
    raise Interrupted(number, "terminated")


def _is_follower() -> bool:
    return os.environ.get("RANK", "0") != "0"


def _print_error(message: str, hint: str | None, show_traceback: bool) -> None:
    if show_traceback:
        traceback.print_exc()
    print(f"error: {message}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)


def _usage_message(error: Exception) -> str:
    format_message = getattr(error, "format_message", lambda: str(error))
    message = " ".join(format_message().split())
    found: list = getattr(error.__cause__, "errors", list)()  # pydantic's, which says what should be, and not what is
    return f"{message}, not {found[0]['input']}" if found else message


def _hint_for_usage(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path if context else 'sg'} --help"


def _forget_stdout() -> None:
    """Keep the interpreter from complaining about unflushed output at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
