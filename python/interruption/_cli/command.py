"""The command line of ``python -m interruption``: what is asked for, and what is wrong with it."""

import argparse
import functools
import math
import re
import sys
from collections.abc import Sequence
from typing import Any, cast

from .. import __version__

_PROG = "python -m interruption"

_UNITS = {"ms": 1e-3, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+\.?\d*|\.\d+)(ms|s|m|h|)", re.ASCII)


def seconds(text: str) -> float:
    """A duration as people write it, in seconds: 5s, 500ms, 1m, 2h; a number alone is seconds."""
    stripped = text.strip().lower()
    match = _DURATION.fullmatch(stripped)
    if match is None or not math.isfinite(float(match[1])):
        negative = _DURATION.fullmatch(stripped.removeprefix("-"))
        wrong = "is less than nothing" if negative else "is no duration"
        raise argparse.ArgumentTypeError(
            f"{text!r} {wrong}: give a number with ms, s, m or h, as 500ms, 5s or 1m; "
            "a number alone is seconds"
        )
    return float(match[1]) * _UNITS[match[2]]


def _grace(text: str) -> float:
    if text.strip().lower() in ("forever", "inf", "infinity"):
        return math.inf
    try:
        return seconds(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}; 'forever': no limit") from None


_GRACE = 5.0  # of threads, if none was given

_PLACES = ("all", "ours", "none")


def _module(text: str) -> str:
    """What may be a module's name; whether there is one, is seen when the program is found."""
    if not all(f"_{part.replace('-', '_')}".isidentifier() and part for part in text.split(".")):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no module's name: give an absolute one with dots, as package.module"
        )
    return text


def _region(text: str) -> str:
    """One of the places, or the name of a package that is installed."""
    if text in _PLACES:
        return text
    import importlib.util  # noqa: PLC0415  (seldom needed)

    try:
        found = importlib.util.find_spec(_module(text).partition(".")[0])
    except (argparse.ArgumentTypeError, ImportError, ValueError):
        found = None
    if found is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither all, ours or none, nor the name of an installed package"
        )
    return text


_HELP = """
Ask the threads of a Python program to stop, and let them stop cleanly.

A Python program whose threads do not stop hangs on Ctrl-C, and dies in the middle of everything on
SIGTERM. Put "-m interruption run" before its name, and both stop it as they should: every thread is
asked to stop, and gets an exception where it is, in a blocking call or between two statements; what
it has begun with "with" and "try" is finished by "__exit__" and "finally".
"""

_HELP_END = """
examples:
  python -m interruption run server.py --port 8000   then press Ctrl-C, or kill it
  python -m interruption run -m http.server 8000     a module, as python -m does
  python -m interruption run --grace 30s worker.py   who needs more time to clean up
  python -m interruption doctor                      does all that work on this machine?
  python -m interruption demo                        a program that hangs, and how it stops
  python -m interruption run --help                  what the words mean
"""

_RUN_HELP = """
Run a program as "python program args" does, or "python -m module args". The program is not changed.
When SIGINT (Ctrl-C), SIGTERM or SIGHUP comes, or the main thread ends by sys.exit() or by an
exception, all threads are asked to stop. A second Ctrl-C asks again: whoever is in a long cleanup
gets another exception. After a third one nobody is waited for.
"""

_RUN_HELP_END = """
regions, that is, where a thread may be stopped by an exception (ThreadExit, a SystemExit):
  all   from the first to the last line of each threading.Thread, and each task of a thread pool.
        Never in a "finally", with a lock in hand, in the standard library; blocking calls are woken
  ours  only where the program itself says so: "with allow_interruption:" and the like
  none  nowhere: Python's blocking calls stay as they are. Threads stop that look for it themselves:
        check_interrupt(), interruption_requested(), wait_for_interruption()
  NAME  besides: an installed package that is the program's own. Threads that other installed
        packages start for themselves are asked, but ended by who has started them

Threads that still run when the time is up are reported on stderr, with the reason and where they
are; the process ends without them. With a --grace of yours it ends two seconds after that in any
case, whatever it is doing. A program that ends by its last line waits for its threads, as
ever: nobody is asked. The exit status is the program's own: that of sys.exit(), 1 after an
exception, 130 (killed by SIGINT) or 143 (by SIGTERM) as a shell shows it.

examples:
  python -m interruption run server.py --port 8000
  python -m interruption run --grace 500ms -m package.module
  python -m interruption run --region ours --grace forever worker.py
"""

_DOCTOR_HELP = """
Tell what this Python supports, and try it: in each kind of blocking call a thread blocks, is asked
to stop, and has to. The exit status is 0 if everything that should work does, else 1.
"""


_DEMO_HELP = """
Show a program that hangs on Ctrl-C, and run it: plainly, where it has to be killed, and by "run",
where the same Ctrl-C stops it. The exit status is 0 if that is how it went, else 1.
"""


def _parser(command: str, description: str, **texts: Any) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"{_PROG} {command}".rstrip(),
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        **texts,
    )


def _command(arguments: Sequence[str]) -> str:
    parser = _parser("", _HELP, epilog=_HELP_END)
    parser.add_argument("--version", action="version", version=f"interruption {__version__}")
    parser.add_argument(
        "command",
        choices=["run", "doctor", "demo"],
        metavar="run | doctor | demo",
        help="run: a program whose threads stop; doctor: what works here; demo: see it (each has a "
        "--help)",
    )
    return cast("str", parser.parse_args(arguments).command)


def _parse(parser: argparse.ArgumentParser, options: Sequence[str], time: str) -> Any:
    """As ``parse_args``; what follows the option of that name is its time, also if it is "-1s"."""
    joined: list[str] = []
    for option in options:
        if joined and joined[-1] == time and re.match(r"-[.\d]", option):
            joined[-1] += f"={option}"
        else:
            joined.append(option)
    return parser.parse_args(joined)


def _run_parser() -> argparse.ArgumentParser:
    usage = "%(prog)s [OPTION ...] (PROGRAM | -m MODULE) [ARG ...]"
    parser = _parser("run", _RUN_HELP, epilog=_RUN_HELP_END, usage=usage)
    parser.add_argument(
        "--grace",
        type=_grace,
        metavar="TIME",
        help="how long the process is given to end: 500ms, 5s, 1m, or forever. Unless given, "
        "threads get 5s, and whatever else ends by itself takes its time",
    )
    parser.add_argument(
        "--region",
        type=_region,
        action="append",
        default=[],
        metavar="WHERE",
        help="all, ours or none: where threads may be stopped, see below (default: all); or the "
        "name of an installed package whose threads may be, as the program's own",
    )
    parser.add_argument(
        "--protect",
        type=_module,
        action="append",
        default=[],
        metavar="NAME",
        help="a module or package that is not to be interrupted between its statements, as "
        "interruption.protect() has it",
    )
    return parser


def _split(arguments: Sequence[str]) -> tuple[Sequence[str], str | None, Sequence[str]]:
    """Our own options, then the module's name if it is one, then the program's own arguments.

    As the interpreter does it: what follows the program's name is the program's.
    """
    at = 0
    while at < len(arguments):
        argument = arguments[at]
        if argument == "--":
            return arguments[:at], None, arguments[at + 1 :]
        if argument == "-m":
            return arguments[:at], "".join(arguments[at + 1 : at + 2]), arguments[at + 2 :]
        if argument.startswith("-m"):
            return arguments[:at], argument[2:], arguments[at + 1 :]
        if not argument.startswith("-"):
            return arguments[:at], None, arguments[at:]
        at += 2 if argument in ("--grace", "--region", "--protect") else 1
    return arguments, None, ()


def _run(arguments: Sequence[str]) -> None:
    parser = _run_parser()
    options, module, program = _split(arguments)
    chosen = _parse(parser, options, "--grace")
    if module is None and not program:
        parser.error("say what to run: a file, as program.py, or a module, as -m package.module")
    if module == "":
        parser.error("say which module to run, as -m package.module")
    places = [place for place in chosen.region if place in _PLACES]
    if len(places) > 1:
        parser.error(f"--region: one of {', '.join(_PLACES)} only")
    from . import run as runner  # noqa: PLC0415  (not before it is needed)

    own = [name for name in chosen.region if name not in _PLACES]
    if module is None:
        load, program = functools.partial(runner.load_script, program[0]), program[1:]
    else:
        load = functools.partial(runner.load_module, module)
        own.append(module.partition(".")[0])
    given = chosen.grace is not None
    wanted = runner.Wanted(
        grace=chosen.grace if given else _GRACE,
        given=given,
        region=places[0] if places else "all",
        own=tuple(own),
        protected=tuple(chosen.protect),
    )
    try:
        runner.run(load, program, wanted)
    except runner.NotFoundError as error:
        parser.error(str(error))


def _exit(status: int) -> None:
    if status != 0:
        sys.exit(status)


def _doctor(arguments: Sequence[str]) -> None:
    parser = _parser("doctor", _DOCTOR_HELP)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "--patience",
        type=seconds,
        default=5.0,
        metavar="TIME",
        help="how long each thread is given to stop: 500ms, 5s, 1m (default: 5s)",
    )
    chosen = _parse(parser, arguments, "--patience")
    from . import doctor  # noqa: PLC0415  (imports much)

    _exit(doctor.run(as_json=chosen.json, patience=chosen.patience))


def _demo(arguments: Sequence[str]) -> None:
    _parser("demo", _DEMO_HELP).parse_args(arguments)
    from . import demo  # noqa: PLC0415  (not before it is needed)

    _exit(demo.run())


def main(arguments: Sequence[str]) -> None:
    """Do what the arguments say.

    Returns when a program that was run has come to its last line: whoever exits instead says that
    its threads are to stop. SystemExit: what the program has raised; a status that is not 0; 2, the
    arguments are wrong; ``--help``.
    """
    commands = {"run": _run, "doctor": _doctor, "demo": _demo}
    commands[_command(arguments[:1])](arguments[1:])
