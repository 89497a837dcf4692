"""A method of the tests, known to congeal as a registered one while a test runs."""

from dataclasses import dataclass

from congeal.methods import registry
from congeal.methods.method import Method


@dataclass(frozen=True)
class Point:
    """What an entry point tells, of a class that is in memory already."""

    kind: type[Method]

    @property
    def name(self) -> str:
        return self.kind.name

    @property
    def module(self) -> str:
        return self.kind.__module__

    @property
    def attr(self) -> str:
        return self.kind.__name__

    @property
    def value(self) -> str:
        return f"{self.module}:{self.attr}"

    def load(self) -> type[Method]:
        return self.kind


def register(monkeypatch, kind: type[Method]) -> None:
    """Add a method to the registered ones until the test ends."""
    known = registry._points()
    monkeypatch.setattr(registry, "_points", lambda: {**known, kind.name: Point(kind)})
