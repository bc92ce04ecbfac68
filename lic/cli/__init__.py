"""The one command line of all three scripts: how a command is run, and how it ends.

Its flags stand in `arguments`, what the commands do in `commands`. Nothing heavy is imported here, so that `--help`,
`info FILE` and a mistyped flag are answered at once. Exit codes: 0 done, 1 bad data, 2 misuse, 130 interrupted.
"""

from __future__ import annotations

import argparse
import errno
import gc
import io
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

import config
from lic import environment
from lic.cli import setting_flags
from lic.cli.arguments import parser_of
from lic.errors import UserError
from lic.files import shown


class _CtrlC:
    """Ctrl-C raises KeyboardInterrupt, as ever, and is remembered: libraries turn it into errors of their own."""

    pressed = False

    def __call__(self, *_) -> NoReturn:
        self.pressed = True
        raise KeyboardInterrupt

    def again(self, unraisable) -> None:
        """For `sys.unraisablehook`: destructors and callbacks of the garbage collector swallow it; it comes again."""
        if isinstance(unraisable.exc_value, KeyboardInterrupt):
            threading.Timer(0.01, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
        else:
            sys.__unraisablehook__(unraisable)


_ctrl_c = _CtrlC()


def run(script: str, words: Sequence[str] | None = None) -> int:
    """Runs a command line (default: that of the process) and returns its exit code; one that is wrong exits."""
    arguments = parser_of(script).parse_args(words)
    environment.prepare()
    try:
        return _done(script, arguments)
    except (Exception, KeyboardInterrupt) as error:
        return _told(script, error)


def _done(script: str, arguments: argparse.Namespace) -> int:
    """Runs a parsed command and returns its exit code."""
    from lic.cli import commands
    arguments.runtime = setting_flags.read(config.Runtime, arguments)
    if arguments.command == "train":
        arguments.training = setting_flags.read(config.Training, arguments)
    if arguments.command == "serve":
        arguments.serving = setting_flags.read(config.Serving, arguments)
    code = getattr(commands, arguments.command)(script, arguments) or 0
    if sys.stdout:   # there is none under `>&-`
        sys.stdout.flush()
    return code


def _told(script: str, error: BaseException) -> int:
    """Tells in a line why a command ended, and returns its exit code. Raises the error where it is this code's."""
    code, line = _end_of(error)
    if line:
        print(f"{script}: {line}", file=sys.stderr)
    if isinstance(error, OSError) and sys.stdout:   # what it holds is lost, and Python would say so at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _end_of(error: BaseException) -> tuple[int, str]:
    """The exit code and the line of an error; none of `info ... | head`, which is nobody's mistake."""
    if isinstance(error, UserError):
        return error.exit_code, shown(str(error))   # names may hold anything
    if isinstance(error, UnicodeEncodeError):
        return 1, "TensorFlow reads and writes only under names of UTF-8: use another place"
    if isinstance(error, MemoryError):
        return 1, "not enough memory"
    if isinstance(error, OSError):
        return 1, "" if isinstance(error, BrokenPipeError) else shown(_of_system(error))
    if isinstance(error, KeyboardInterrupt) or _ctrl_c.pressed:
        return 130, "interrupted"
    raise error


def _of_system(error: OSError) -> str:
    """An error that no command has put into words: of a file, or of what every process has."""
    if error.filename:
        return str(error)
    if error.errno == errno.ENOENT:
        return "the current directory is gone: change to another"
    return f"standard output can't be written: {error.strerror}"


def main(script: str) -> NoReturn:
    """Runs a script's command line and exits.

    Not under absl's `app.run`: a TensorFlow that is first imported in there comes up half in graph mode.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")   # a name may hold what a terminal can't show
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:   # not in the background of a shell script
        signal.signal(signal.SIGINT, _ctrl_c)
        sys.unraisablehook = _ctrl_c.again
    sys.modules.setdefault("jax", None)   # type: ignore[arg-type]  # TensorFlow would load it, 0.6 s, for nothing
    code = run(script)
    signal.signal(signal.SIGINT, signal.SIG_IGN)   # all is done
    gc.freeze()   # so that Python does not look for garbage once more, which takes 0.4 s
    sys.exit(code)


def lsk2023() -> None:
    """The installed command `lsk2023`."""
    main("lsk2023")


def zyc2022() -> None:
    """The installed command `zyc2022`."""
    main("zyc2022")


def hypmqw2022() -> None:
    """The installed command `hypmqw2022`."""
    main("hypmqw2022")
