"""Arguments that users have given."""

from __future__ import annotations

from . import _interruption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def flag(value: object, name: str) -> bool:
    """True or False; anything else is a TypeError: what is meant by ``"no"`` is not known."""
    if isinstance(value, bool):
        return value
    raise TypeError(f"{name} must be True or False, not {value!r}")


# What the compiled types of these names are called with, if not with one thing by position.


def timeout(delay: Any) -> Any:
    """Make one."""
    return _interruption.timeout(delay)


def timeout_at(when: Any) -> Any:
    """Make one."""
    return _interruption.timeout_at(when)


def move_on_after(delay: Any, *, shield: Any = False) -> Any:
    """Make one."""
    return _interruption.move_on_after(delay, shield=shield)


# What calls of regions and shields mean (S14). ----------------------------------------------------

_OPTIONS = ("async_interrupt", "io_interrupt")
_REGIONS = {
    (True, True): _interruption.allow_interruption,
    (False, True): _interruption._allow_waits,  # noqa: SLF001
    (True, False): _interruption._allow_statements,  # noqa: SLF001
    (False, False): _interruption._allow_neither,  # noqa: SLF001
}
_OPTIONS_OF = {region: options for options, region in _REGIONS.items()}


def call_block(region: Any, args: tuple[Any, ...], options: dict[str, bool] | None = None) -> Any:
    """``region(*args, **options)``: a function that runs in it, or the region with these options.

    TypeError: both, or several functions; what `decorate` says; an option that is none, or neither
    True nor False.
    """
    if len(args) > 1 or (args and options):
        raise TypeError(f"{region!r} takes either one function to decorate or options by name")
    if args:
        from ._decorators import decorate  # noqa: PLC0415  (imports much)

        return decorate(region, args[0])
    if not options:
        return region
    for name, value in options.items():
        if name not in _OPTIONS or region not in _OPTIONS_OF:
            raise TypeError(f"{region!r} has no option {name!r}")
        flag(value, name)
    between, blocking = _OPTIONS_OF[region]
    return _REGIONS[options.get(_OPTIONS[0], between), options.get(_OPTIONS[1], blocking)]


def signature_of_block(region: Any) -> Any:
    """How it is called."""
    from inspect import Parameter, Signature  # noqa: PLC0415  (imports much)

    names = _OPTIONS if region in _OPTIONS_OF else ()
    return Signature(
        [
            Parameter("function", Parameter.POSITIONAL_ONLY, default=None),
            *(Parameter(name, Parameter.KEYWORD_ONLY, default=True) for name in names),
        ]
    )
