"""Every problem of a configuration tree at once, each named by its dotted key.

A tree is what YAML gives: dictionaries, lists, numbers, texts. Libraries that convert
it stop at their first problem; here each leaf is converted alone and what fails is
noted, so that one start of the program tells all there is to mend.
"""

import difflib
import math
import types
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Literal

import msgspec

from bot4jax.consistency import contradictions
from bot4jax.schema import Config
from bot4jax.schema.bounds import Section
from bot4jax.schema.data import AnyData, SimulatorData

Problems = list[str]


def checked(tree: Mapping[str, Any]) -> tuple[Config | None, Problems]:
    """The configuration, or None and all that stands against it."""
    problems: Problems = []
    config = _section(Config, tree, "", problems)
    if config is not None:
        problems.extend(contradictions(config))
    return (None if problems else config), problems


@cache
def known_keys() -> tuple[str, ...]:
    """All dotted keys of leaves, those of every data source included."""
    return tuple(dict.fromkeys(_leaves(Config, "")))


def is_known(key: str) -> bool:
    """Whether a dotted key names a leaf, a section, or an entry of a free mapping."""
    parents = {key.rsplit(".", n)[0] for n in range(1, key.count(".") + 1)}
    free = {"data.mapping", "data.options"} & parents
    return bool(free) or any(
        f"{known}.".startswith(f"{key}.") for known in known_keys()
    )


def unknown_key(key: str) -> str:
    """The sentence about a key that the schema does not have."""
    keys = known_keys()
    sections = {known.partition(".")[0] for known in keys}
    close = difflib.get_close_matches(key, (*keys, *sections), n=1, cutoff=0.75)
    if not close:
        leaf = key.rsplit(".", 1)[-1]
        by_leaf = {known.rsplit(".", 1)[-1]: known for known in reversed(keys)}
        close = difflib.get_close_matches(leaf, by_leaf, n=1, cutoff=0.8)
        close = [by_leaf[leaf] for leaf in close]
    advice = f"Did you mean '{close[0]}'?" if close else "--cfg job lists all keys"
    return f"{key}: unknown key. {advice}"


def _section(kind: type, node: Any, key: str, problems: Problems) -> Any:
    """The section built from a mapping, or None after noting what is wrong."""
    if not isinstance(node, Mapping):
        problems.append(
            f"{key.rstrip('.')}: expected a section with keys, found {node!r}"
        )
        return None
    before = len(problems)
    fields = _hints(kind)
    for name in node:
        if name not in fields:
            problems.append(_misplaced(f"{key}{name}", kind))
    values = {}
    for name, hint in fields.items():
        if name not in node or node[name] == "???":
            problems.append(f"{key}{name}: missing. Give it {described(hint)}.")
        else:
            values[name] = _value(hint, node[name], f"{key}{name}", problems)
    return kind(**values) if len(problems) == before else None


def _value(hint: Any, node: Any, key: str, problems: Problems) -> Any:
    if hint == AnyData:
        return _data(node, problems)
    if _is_section(hint):
        return _section(hint, node, f"{key}.", problems)
    if isinstance(node, str) and "${" in node:
        problems.append(f"{key}: {node} leads nowhere; is the variable or key set?")
        return None
    if _has_non_finite(node):
        problems.append(f"{key}: expected {described(hint)}, finite, found {node}")
        return None
    try:
        return msgspec.convert(node, hint)
    except msgspec.ValidationError:
        problems.append(f"{key}: expected {described(hint)}, found {node!r}")
        return None


def _data(node: Any, problems: Problems) -> Any:
    """The data section, checked as the kind that its `source` names."""
    if not isinstance(node, Mapping):
        return _section(SimulatorData, node, "data.", problems)
    source = node.get("source")
    for kind in typing.get_args(AnyData):
        if source_of(kind) == source:
            return _section(kind, node, "data.", problems)
    known = ", ".join(map(source_of, typing.get_args(AnyData)))
    problems.append(f"data.source: expected one of {known}, found {source!r}")
    return None


def source_of(kind: type) -> str:
    """The name by which a data section is chosen."""
    return typing.get_args(_hints(kind)["source"])[0]


def _misplaced(key: str, kind: type) -> str:
    """An unknown key; one of another data source is told apart."""
    if issubclass(kind, typing.get_args(AnyData)):
        name = key.rsplit(".", 1)[-1]
        owners = [
            source_of(other)
            for other in typing.get_args(AnyData)
            if name in other.__struct_fields__
        ]
        if owners:
            return (
                f"{key}: data={source_of(kind)} has no such key; data={owners[0]} has"
            )
    return unknown_key(key)


@cache
def _hints(kind: type) -> dict[str, Any]:
    """Field → its type with bounds; read once, for reading them is what takes time."""
    return {field.name: field.type for field in msgspec.structs.fields(kind)}


def _is_section(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Section)


def _leaves(kind: type, key: str) -> Iterator[str]:
    for field in msgspec.structs.fields(kind):
        variants = (
            typing.get_args(field.type) if field.type == AnyData else [field.type]
        )
        for hint in variants:
            if _is_section(hint):
                yield from _leaves(hint, f"{key}{field.name}.")
            else:
                yield f"{key}{field.name}"


def _has_non_finite(node: Any) -> bool:
    if isinstance(node, list | tuple):
        return any(map(_has_non_finite, node))
    return isinstance(node, float) and not math.isfinite(node)


_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "multiple_of": "a multiple of"}
_PLAIN = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    types.NoneType: "null",
}


def described(hint: Any) -> str:
    """What a type allows, in words: `a number > 0 and <= 0.25`."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _bounded(arguments[0], arguments[1])
    if origin is Literal:
        words = ", ".join(map(str, arguments))
        return f"one of {words}" if len(arguments) > 1 else words
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(described, arguments))
    if origin is tuple:
        return f"a list, each {described(arguments[0])}"
    if origin is dict:
        return "a mapping of texts to texts"
    return _PLAIN.get(hint, "a section")


def _bounded(base: Any, meta: msgspec.Meta) -> str:
    if meta.pattern:
        return "a name of letters, digits and . , = + - _"
    bounds = [
        f"{sign} {getattr(meta, name):g}"
        for name, sign in _BOUNDS.items()
        if getattr(meta, name) is not None
    ]
    words = " ".join([described(base), " and ".join(bounds)]).strip()
    return f"{words}, not empty" if meta.min_length else words
