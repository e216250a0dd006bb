"""Arguments that users have given."""


def flag(value: object, name: str) -> bool:
    """True or False; anything else is a TypeError: what is meant by ``"no"`` is not known."""
    if isinstance(value, bool):
        return value
    raise TypeError(f"{name} must be True or False, not {value!r}")
