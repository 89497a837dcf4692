"""Typed settings: described once, then read from YAML, options and model folders, and tabulated.

A config is a pydantic model whose fields are sections, each a pydantic model of leaves made by
:func:`setting`. A leaf is named by its path (``loss.margin``), or by its last part where no other
leaf of the config shares it.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from congeal.errors import CongealError, quoted, unknown

__all__ = ["Leaf", "Settings", "setting"]


def setting(
    default: Any,
    description: str,
    *,
    unit: str = "",
    paper: str = "",
    adjustable: bool = False,
    **limits: Any,
) -> Any:
    """Declare a leaf: its default, its meaning, and what tables and checks need.

    Args:
        default: value when nothing is said.
        description: one line, as tables show it.
        unit: of the value, such as ``"px"``.
        paper: the value that the method's paper uses, as tables show it.
        adjustable: may change after training, for the weights do not depend on it.
        limits: what pydantic checks: ``ge``, ``gt``, ``le``, ``lt``, ``min_length``.
    """
    extra: dict[str, Any] = {"unit": unit, "paper": paper, "adjustable": adjustable}
    return Field(default, description=description, json_schema_extra=extra, **limits)


@dataclass(frozen=True)
class Leaf:
    """A setting as tables show it.

    Attributes:
        path: such as ``"loss.margin"``.
        default: its value when nothing is said.
        kind: type or choices, such as ``"float or none"`` and ``"light | wide"``.
        limits: the range, such as ``">= 0, < 1"``.
        unit: of the value.
        paper: the value of the paper.
        adjustable: whether it may change after training.
        description: one line.
    """

    path: str
    default: Any
    kind: str
    limits: str
    unit: str
    paper: str
    adjustable: bool
    description: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]


class Settings(BaseModel):
    """Base of all configs and of their sections.

    Example:
        >>> class Loss(Settings):
        ...     margin: float = setting(0.5, "alpha", ge=0, lt=1)
        >>> class Config(Settings):
        ...     loss: Loss = Loss()
        >>> Config().updated({"margin": 0.4}).loss.margin
        0.4
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    renamed: ClassVar[Mapping[str, str]] = {}
    """Names of earlier versions, and the paths they have now."""

    @classmethod
    def leaves(cls) -> dict[str, Leaf]:
        """All leaves by path, in the order of their declaration."""
        return dict(_leaves(cls, ""))

    @classmethod
    def path_of(cls, name: str) -> str:
        """The path that a name means: a path, the last part of one path only, or an old name.

        Parts beyond a leaf that holds options stay: ``decoding.grouping_options.grid``.

        Raises:
            CongealError: it means none (the nearest is suggested), or several.
        """
        name = name.replace("-", "_")
        leaves = cls.leaves()
        whole = next((p for p in leaves if name == p or name.startswith(p + ".")), None)
        if whole is not None:
            return name
        first, _, rest = name.partition(".")
        rest = rest and "." + rest
        found = [path for path in leaves if path.rpartition(".")[2] == first]
        if len(found) == 1:
            return found[0] + rest
        if found:
            raise CongealError(f"{name} may mean {' or '.join(found)}; write one of them")
        if first in cls.renamed:
            return cls.renamed[first] + rest
        names = {path.rpartition(".")[2] for path in leaves} if "." not in name else set(leaves)
        raise unknown("setting", name, names)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Make a config of settings by path, by name, or nested by section."""
        return cls._checked(cls._nested(settings, {}))

    def updated(self, settings: Mapping[str, Any]) -> Self:
        """The config with some settings changed.

        Args:
            settings: by path, by name, or nested by section.

        Raises:
            CongealError: a setting is unknown (the nearest is suggested) or out of range.
        """
        if not settings:
            return self
        return self._checked(self._nested(settings, self.model_dump()))

    @classmethod
    def _nested(cls, settings: Mapping[str, Any], base: dict[str, Any]) -> dict[str, Any]:
        for path, value in _flat(cls, settings, ""):
            *sections, last = cls.path_of(path).split(".")
            place = base
            for section in sections:
                place = place.setdefault(section, {})
            place[last] = value
        return base

    @classmethod
    def _checked(cls, values: Mapping[str, Any]) -> Self:
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise CongealError(_one_line(error)) from error

    def flat(self) -> dict[str, Any]:
        """Values of all leaves by path, ready for JSON and YAML."""
        dumped = self.model_dump(mode="json")
        return {path: _at(dumped, path) for path in self.leaves()}


def _leaves(cls: type[BaseModel], prefix: str) -> Iterator[tuple[str, Leaf]]:
    for name, info in cls.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _leaves(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _leaf(f"{prefix}{name}", info)


def _leaf(path: str, info: FieldInfo) -> Leaf:
    extra = info.json_schema_extra
    told: dict[str, Any] = dict(extra) if isinstance(extra, Mapping) else {}
    return Leaf(
        path=path,
        default=info.get_default(call_default_factory=True),
        kind=_kind(info.annotation),
        limits=", ".join(_limits(info)),
        unit=told.get("unit", ""),
        paper=told.get("paper", ""),
        adjustable=told.get("adjustable", False),
        description=info.description or "",
    )


def _limits(info: FieldInfo) -> Iterator[str]:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    for limit in info.metadata:
        for name, sign in signs.items():
            if getattr(limit, name, None) is not None:
                yield f"{sign} {getattr(limit, name):g}"


def _kind(annotation: Any) -> str:
    """A type in words, such as ``float or none``."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return " | ".join(str(one) for one in args)
    if origin in (typing.Union, types.UnionType):
        return " or ".join("none" if one is type(None) else _kind(one) for one in args)
    if origin is tuple:
        return f"list of {_kind(args[0])}" if args[-1] is ... else f"{len(args)} {_kind(args[0])}s"
    if origin is dict:
        return "options"
    names = {int: "int", float: "float", str: "text", bool: "true | false"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _flat(
    cls: type[BaseModel], settings: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, Any]]:
    """Nested settings by path; what is no section is a leaf, mappings included."""
    for name, value in settings.items():
        info = cls.model_fields.get(name)
        kind = None if info is None else info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            if not isinstance(value, Mapping):
                raise CongealError(f"expected settings under {prefix}{name}, got {quoted(value)}")
            yield from _flat(kind, value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _at(values: Mapping[str, Any], path: str) -> Any:
    value: Any = values
    for part in path.split("."):
        value = value[part]
    return value


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    said = first["msg"].removeprefix("Value error, ")
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "value_error" and isinstance(first["input"], Mapping):
        return f"{where}: {said}" if where else said  # of several settings together
    return f"{where}: {said}, got {quoted(first['input'])}"
