"""Fields of results that are computed when one of them is first read: what nobody reads costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T", bound=type)


class Waiting:
    """Stands for fields of a result until one of them is read; then all that it stands for are computed.

    Args:
        source: gives these fields by name. It is held until then, and no longer.
    """

    def __init__(self, source: Callable[[], Mapping[str, Any]]) -> None:
        self.source = source


def waits(*names: str) -> Callable[[T], T]:
    """Return a decorator of dataclasses that lets these fields be given as ``Waiting``.

    Whoever reads a field finds its value. Two threads may both compute it, and find the same numbers.

    Args:
        names: of the fields, which have no default.

    Example:
        >>> from dataclasses import dataclass
        >>> @waits("total")
        ... @dataclass(frozen=True)
        ... class Sum:
        ...     terms: int
        ...     total: int
        >>> asked = []
        >>> found = Sum(2, Waiting(lambda: asked.append("total") or {"total": 5}))
        >>> assert not asked and found.total == found.total == 5 and asked == ["total"]
        >>> assert found == Sum(2, 5)
    """

    def decorated(cls: T) -> T:
        for name in names:
            setattr(cls, name, _Place(name))
        return cls

    return decorated


class _Place:
    """A field that lies in the instance's dictionary under its own name, given or waiting."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        content = instance.__dict__
        try:
            value = content[self.name]
        except KeyError:
            raise AttributeError(f"{owner.__name__!r} object has no attribute {self.name!r}") from None
        if isinstance(value, Waiting):
            found = value.source()
            for name in [name for name, one in content.items() if one is value]:
                content[name] = found[name]
            value = found[self.name]
        return value

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self.name] = value
