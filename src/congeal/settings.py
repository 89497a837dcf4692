"""Typed settings: declared once; YAML files, options, model folders and docs tables follow.

A config is a pydantic model whose fields are sections; each section is a pydantic model whose
fields (leaves) are declared by :func:`setting`. A leaf is addressed by its path (``loss.margin``),
or by its last part (``margin``) where that is unambiguous within the config.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
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
    """Declare a leaf: its default, its meaning, and the metadata of tables and checks.

    Args:
        default: the default value.
        description: one line, for tables and ``--help``.
        unit: unit of the value, such as ``"px"``.
        paper: the value in the method's paper, for tables.
        adjustable: whether it may change after training, because the weights do not depend on it.
        limits: constraints of pydantic: ``ge``, ``gt``, ``le``, ``lt``, ``min_length``.
    """
    extra: dict[str, Any] = {"unit": unit, "paper": paper, "adjustable": adjustable}
    return Field(default, description=description, json_schema_extra=extra, **limits)


@dataclass(frozen=True)
class Leaf:
    """Description of a setting, as tables show it.

    Attributes:
        path: such as ``"loss.margin"``.
        default: the default value.
        kind: type or choices, such as ``"float or none"`` or ``"light | wide"``.
        limits: valid range, such as ``">= 0, < 1"``.
        unit: of the value.
        paper: the value in the method's paper.
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
    """Setting names of earlier versions, mapped to their current paths."""

    @field_validator("*", mode="before")
    @classmethod
    def _listed(cls, value: Any, info: ValidationInfo) -> Any:
        """Read ``0.5,1`` or a single value as a list where only a list is valid."""
        name = info.field_name or ""
        return _as_list(value) if _is_list(cls.model_fields[name].annotation) else value

    @classmethod
    def leaves(cls) -> dict[str, Leaf]:
        """All leaves by path, in the order of their declaration."""
        return dict(_all_leaves(cls))

    @classmethod
    def path_of(cls, name: str) -> str:
        """Resolve a path, an unambiguous last part of one, or an old name to the path of a leaf.

        Parts below a leaf of type dict are kept: ``decoding.grouping_options.grid``.

        Raises:
            CongealError: the name is unknown (the nearest is suggested) or ambiguous.
        """
        name = name.replace("-", "_")
        leaves = _all_leaves(cls)
        whole = next((p for p in leaves if name == p or name.startswith(p + ".")), None)
        if whole is not None:
            return name
        first, _, rest = name.partition(".")
        rest = rest and "." + rest
        candidates = [path for path in leaves if path.rpartition(".")[2] == first]
        if len(candidates) == 1:
            return candidates[0] + rest
        if candidates:
            raise CongealError(f"{name} may mean {' or '.join(candidates)}; write one of them")
        if first in cls.renamed:
            return cls.renamed[first] + rest
        names = {path.rpartition(".")[2] for path in leaves} if "." not in name else set(leaves)
        raise unknown("setting", name, names)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Build a config from settings.

        Args:
            settings: by path, by name, or nested by section.

        Raises:
            CongealError: a setting is unknown (the nearest is suggested) or out of range.
        """
        return cls._checked(cls._nested(settings, {}))

    def updated(self, settings: Mapping[str, Any]) -> Self:
        """A copy of the config with some settings changed.

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
            section_values = base
            for section in sections:
                section_values = section_values.setdefault(section, {})
            section_values[last] = value
        return base

    @classmethod
    def _checked(cls, values: Mapping[str, Any]) -> Self:
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise CongealError(_one_line(error)) from error

    def flat(self) -> dict[str, Any]:
        """Values of all leaves by path, as types that JSON and YAML can store."""
        dumped = self.model_dump(mode="json")
        return {path: _at(dumped, path) for path in self.leaves()}


@cache
def _all_leaves(cls: type[BaseModel]) -> Mapping[str, Leaf]:
    """All leaves by path; kept, since a model is loaded with hundreds of lookups."""
    return dict(_leaves(cls, ""))


def _leaves(cls: type[BaseModel], prefix: str) -> Iterator[tuple[str, Leaf]]:
    for name, info in cls.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _leaves(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _leaf(f"{prefix}{name}", info)


def _leaf(path: str, info: FieldInfo) -> Leaf:
    extra = info.json_schema_extra
    metadata: dict[str, Any] = dict(extra) if isinstance(extra, Mapping) else {}
    return Leaf(
        path=path,
        default=info.get_default(call_default_factory=True),
        kind=_kind(info.annotation),
        limits=", ".join(_limits(info)),
        unit=metadata.get("unit", ""),
        paper=metadata.get("paper", ""),
        adjustable=metadata.get("adjustable", False),
        description=info.description or "",
    )


def _limits(info: FieldInfo) -> Iterator[str]:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    for limit in info.metadata:
        for name, sign in signs.items():
            if getattr(limit, name, None) is not None:
                yield f"{sign} {getattr(limit, name):g}"


def _kind(annotation: Any) -> str:
    """Name of a type for users, such as ``float or none``."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return " | ".join(str(choice) for choice in args)
    if origin in (typing.Union, types.UnionType):
        return " or ".join("none" if part is type(None) else _kind(part) for part in args)
    if origin is tuple:
        return f"list of {_kind(args[0])}" if args[-1] is ... else f"{len(args)} {_kind(args[0])}s"
    if origin is dict:
        return "options"
    names = {int: "int", float: "float", str: "text", bool: "true | false"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _is_list(annotation: Any) -> bool:
    """Whether only lists are valid, or None."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        parts = [part for part in typing.get_args(annotation) if part is not type(None)]
    else:
        parts = [annotation]
    return all(typing.get_origin(part) is tuple for part in parts)


def _as_list(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(","))
    return (value,) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _flat(
    cls: type[BaseModel], settings: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, Any]]:
    """Flatten nested settings to paths; anything that is not a section is a leaf, dicts too."""
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
    message = first["msg"].removeprefix("Value error, ")
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "value_error" and isinstance(first["input"], Mapping):
        return f"{path}: {message}" if path else message  # a check of several settings
    return f"{path}: {message}, got {quoted(first['input'])}"
