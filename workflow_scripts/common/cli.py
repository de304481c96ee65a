"""Run a step, which is a function, as a command.

`run(step)` turns the typed keyword arguments into options, writes the log file, and uses the terminal only for progress
and for one error line.
"""

import errno
import inspect
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import tyro

from workflow_scripts.common import job_costs
from workflow_scripts.common.config.base import Section
from workflow_scripts.common.errors import InputError

EXIT_BAD_INPUT = 2
# Last line of a log, which tells `retries` not to try again.
BAD_INPUT = f"exit status {EXIT_BAD_INPUT}: bad input is not tried again"
EXIT_STATUS = (
    f"Exit status: 0 success; {EXIT_BAD_INPUT} bad input, one line on stderr says what and where; 1 any other error."
)
NOT_PERMITTED = (errno.EACCES, errno.EPERM, errno.EROFS)
"""System errors that are bad input: a file or folder may not be read or written."""
LOG = Annotated[Path | None, tyro.conf.arg(metavar="FILE", help="log file. Default: warnings go to the terminal.")]
AsJson = Annotated[bool, tyro.conf.arg(name="json")]
"""The type of the option `--json`, which replaces a command's text on stdout by JSON."""
NEARLY_FULL = 64 * 2**20

logger = logging.getLogger(__name__)

_registry = tyro.constructors.ConstructorRegistry()


@_registry.primitive_rule
def _section_from_json(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec | None:
    """Read a config section from one JSON argument, validated by its model."""
    section = info.type
    if not (isinstance(section, type) and issubclass(section, Section)):
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="JSON",
        instance_from_str=lambda values: section.model_validate_json(values[0]),
        is_instance=lambda value: isinstance(value, section),
        str_from_instance=lambda value: [value.to_json()],
    )


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    """Exit by an exception on SIGTERM, so that temporary files are removed."""
    raise SystemExit(128 + number)


def _log_to(path: Path | None) -> None:
    handlers: list[logging.Handler] = []
    if path is not None:
        # The processes of one torchrun share a command line; all but rank 0 have log files of their own. They are
        # restarted after crashes and in later slots, so they append to their logs.
        mode = "a" if "RANK" in os.environ else "w"
        if (rank := os.environ.get("RANK", "0")) != "0":
            path = path.with_name(f"{path.name}.rank{rank}")
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(path, mode=mode, encoding="utf-8"))
    else:
        console = logging.StreamHandler()
        console.setLevel(logging.WARNING)
        handlers.append(console)
    layout = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.INFO, format=layout, handlers=handlers, force=True)
    logging.captureWarnings(True)
    # A log that cannot be written (a full disk) must not bury the step's own error.
    logging.raiseExceptions = False


def run(step: Callable[..., Any]) -> None:
    """Run `step` as a command.

    Every keyword argument is an option (see `--help`); `--log FILE` is added. Bad input (`InputError`) gives one line
    on stderr and exit status 2; any other error gives one line, the traceback in the log, and exit status 1.
    """
    signature = inspect.signature(step)
    log = inspect.Parameter("log", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=LOG)

    started = False

    def command(**arguments: Any) -> None:
        nonlocal started
        started = True
        path = arguments.pop("log")
        _log_to(path)
        logger.info("%s", " ".join(sys.argv))
        try:
            with job_costs.written_down(path):
                step(**arguments)
            sys.stdout.flush()
        except InputError as error:
            raise _bad_input(error, path) from None
        except KeyboardInterrupt:
            sys.stderr.write("interrupted\n")
            raise SystemExit(128 + signal.SIGINT) from None
        except BrokenPipeError:
            # The reader of the output has exited, as `head` does.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(128 + signal.SIGPIPE) from None
        except Exception as error:
            if isinstance(error, OSError) and error.errno in NOT_PERMITTED and error.filename is not None:
                logger.info("traceback of the next line:", exc_info=error)
                raise _bad_input(f"{error.filename}: {error.strerror}; check the permissions", path) from None
            if full := full_disks(error, [path, *arguments.values()]):
                logger.exception("%s", error)
                _print_error(f"{full}; free some space and run the same command again; finished work is kept")
                raise SystemExit(1) from None
            if path is None:
                raise
            logger.exception("%s", error)
            _print_error(f"{type(error).__name__}: {error} (traceback in {path})")
            raise SystemExit(1) from None

    command.__signature__ = signature.replace(parameters=[*signature.parameters.values(), log])  # type: ignore[attr-defined]
    command.__annotations__ = {**step.__annotations__, "log": LOG}
    command.__doc__ = _with_exit_status(inspect.getdoc(step) or "")
    command.__module__ = step.__module__
    signal.signal(signal.SIGTERM, _terminated)
    try:
        with _registry:
            tyro.cli(command, prog=_command_name())
    except SystemExit as exited:
        # Ends with the help or the wrong option: libraries' reports at interpreter exit (DuckDB's leaks) would follow.
        if not started and step.__module__ == "__main__" and isinstance(exited.code, int):
            with suppress(BrokenPipeError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(exited.code)
        raise
    except BrokenPipeError:
        # The reader of the help has exited.
        os._exit(128 + signal.SIGPIPE)


def print_json(value: Any) -> None:
    """Print a value as one line of JSON. It is ASCII, so that any terminal and any file name can be printed."""
    sys.stdout.write(json.dumps(value) + "\n")


def _with_exit_status(text: str) -> str:
    """Add the exit status to a command's help, unless it describes its own."""
    if "Exit status" in text:
        return text
    summary, heading, arguments = text.partition("\nArgs:\n")
    return f"{summary.rstrip()}\n\n{EXIT_STATUS}\n{heading}{arguments}"


def _command_name() -> str | None:
    """`python -m MODULE`, if the program was started as a module."""
    spec = sys.modules["__main__"].__spec__
    return f"python -m {spec.name}" if spec else None


def full_disks(error: Exception, arguments: Sequence[object]) -> str:
    """Describe the full disks that a step uses; "" if its error is not about a full disk.

    Args:
        error: the error that the step raised. An error of a library may only quote the system's message.
        arguments: the step's arguments; the paths among them are on the disks that it uses.
    """
    if getattr(error, "errno", None) not in (errno.ENOSPC, errno.EDQUOT) and not any(
        os.strerror(number) in str(error) for number in (errno.ENOSPC, errno.EDQUOT)
    ):
        return ""
    lists = (value if isinstance(value, list | tuple) else (value,) for value in arguments)
    given = (value for values in lists for value in values if isinstance(value, Path))
    places = [Path.cwd(), Path(tempfile.gettempdir()), *given]
    existing = (next(one for one in (path.absolute(), *path.absolute().parents) if one.exists()) for path in places)
    disks = {path.stat().st_dev: (path, shutil.disk_usage(path)) for path in existing}
    full = [(path, usage) for path, usage in disks.values() if usage.free < NEARLY_FULL] or [
        min(disks.values(), key=lambda disk: disk[1].free)
    ]
    return "disk full or quota exceeded: " + ", ".join(
        f"{path} has {usage.free // 2**20} of {usage.total // 2**20} MiB free" for path, usage in full
    )


def _bad_input(error: object, log: Path | None) -> SystemExit:
    """Report bad input in the log and on the terminal; return the exit to raise."""
    if log is not None:
        logger.error("%s", error)
        logger.info(BAD_INPUT)
    _print_error(error)
    return SystemExit(EXIT_BAD_INPUT)


def _print_error(message: object) -> None:
    sys.stderr.write(f"error: {message}\n")
