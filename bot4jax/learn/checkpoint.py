"""Checkpoints that are whole or refused: Orbax arrays under a manifest of hashes.

Orbax restores a flipped bit without a word, so every file is hashed: a checkpoint that
does not match its manifest is passed over for the one before it. One that is intact but
belongs to another configuration, catalogue or schema stops the start instead, for the
one before it would too.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from bot4jax import durable
from bot4jax.data.origin import Origin
from bot4jax.errors import CheckpointError

SCHEMA = "bot4jax.checkpoint/5"
MANIFEST = "manifest.json"
SEAL = "manifest.sha256"
"""The manifest's own hash, as `sha256sum --check` reads it."""
ARRAYS = "arrays"
UNFINISHED = ".unfinished-"

PAGE, ROUND = 4096, 16
"""Bytes that a file takes at least, and files that every checkpoint has."""

Tree = TypeVar("Tree")
logger = logging.getLogger(__name__)


class DamagedCheckpoint(CheckpointError):
    """Torn or altered: the one before it may be whole."""


class Identity(NamedTuple):
    """What a checkpoint must have been made with to mean anything here."""

    config_hash: str
    catalogue_hash: str
    features: tuple[str, ...]
    """names, in the order of the arrays"""
    origin: Origin | None = None
    """bars that it was fitted on; compared by who takes it up, for a live feed may
    begin later"""


class Manifest(NamedTuple):
    """What a checkpoint says of itself."""

    schema: str
    step: int
    previous: int | None
    """step of the checkpoint before it"""
    config_hash: str
    catalogue_hash: str
    features: tuple[str, ...]
    origin: Origin | None
    files: Mapping[str, str]
    """SHA-256 of every file, by its path within the checkpoint"""


def save(folder: Path, step: int, tree: Any, identity: Identity, keep: int = 3) -> Path:
    """Write `folder/<step>`, which appears only once it is complete.

    A checkpoint of the same step is replaced, and the newest `keep` remain. A folder
    has one writer: what an interrupted one left behind is removed. To write in the
    background, hand over a copy: leaves that a step donates meanwhile are gone.
    """
    if keep < 2:
        raise ValueError(f"keep={keep}: a damaged checkpoint needs one before it")
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(left)
    draft = folder.absolute() / f"{UNFINISHED}{step}"
    previous = max((s for s in steps(folder) if s < step), default=None)
    try:
        with durable.named(folder / str(step)):
            _write_arrays(draft / ARRAYS, tree)
            _write_manifest(draft, step, previous, identity)
            _put_in_place(draft, folder / str(step))
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    for old in steps(folder)[:-keep]:
        shutil.rmtree(folder / str(old))
    return folder / str(step)


def restore(
    folder: Path, like: Tree, identity: Identity, at_most: int | None = None
) -> tuple[Tree, Manifest]:
    """The newest intact checkpoint as a tree of the types and shapes of `like`.

    Those of steps after `at_most` are left alone. Raises `CheckpointError` when there
    is none, or when it was made for another catalogue, configuration, schema or shape
    of state.
    """
    refused = []
    known = [step for step in steps(folder) if at_most is None or step <= at_most]
    for step in reversed(known):
        at = folder / str(step)
        try:
            manifest = verify(at)
        except DamagedCheckpoint as error:
            logger.warning("checkpoint passed over: %s", error)
            refused.append(str(error))
            continue
        _expect(at, manifest, identity, like)
        return _read_arrays(at, like), manifest
    found = "; ".join(refused) or "none was found"
    raise CheckpointError(
        f"{folder}: no checkpoint can be used ({found}); fit that run anew, by its own "
        "command with run.fresh=true, or name another by run.model"
    )


def newest_intact(folder: Path, at_most: int | None = None) -> int | None:
    """Step of the newest checkpoint that is whole; None where there is none.

    Those of steps after `at_most` are left alone.
    """
    known = [step for step in steps(folder) if at_most is None or step <= at_most]
    for step in reversed(known):
        try:
            verify(folder / str(step))
        except DamagedCheckpoint as error:
            logger.warning("checkpoint passed over: %s", error)
        else:
            return step
    return None


def steps(folder: Path) -> list[int]:
    """Steps of the checkpoints that are in place, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(int(at.name) for at in folder.iterdir() if at.name.isdecimal())


def verify(at: Path) -> Manifest:
    """The manifest of a checkpoint whose every file has the hash that it states.

    Raises `DamagedCheckpoint`, which names the checkpoint and the file, and
    `CheckpointError` for an intact one of another schema.
    """
    text = _read(at, MANIFEST)
    if _read(at, SEAL) != _seal(text):
        raise DamagedCheckpoint(f"{at}: {MANIFEST} does not match {SEAL}")
    fields = json.loads(text)
    if fields["schema"] != SCHEMA:
        raise CheckpointError(
            f"{at}: schema {fields['schema']!r}; this version reads {SCHEMA!r}: "
            "restore it with the version that wrote it, or train again"
        )
    manifest = read_manifest(fields)
    expected, found = manifest.files, _hashes(at)
    names = sorted(expected.keys() | found.keys())
    wrong = [name for name in names if expected.get(name) != found.get(name)]
    if wrong:
        raise DamagedCheckpoint(
            f"{at}: {wrong[0]} is missing, unknown or altered "
            f"({len(wrong)} of {len(names)} files)"
        )
    return manifest


def read_manifest(fields: Mapping[str, Any]) -> Manifest:
    """A manifest as its JSON holds it."""
    own, features = fields["origin"], tuple(fields["features"])
    origin = None if own is None else Origin(**own)
    return Manifest(**{**fields, "features": features, "origin": origin})


def _expect(at: Path, manifest: Manifest, identity: Identity, like: Any) -> None:
    """Refuse what was made with something else, naming what differs.

    Of another configuration its hash is known, and what other sizes it has.
    """
    mend = "train again, or use the version and configuration that made it"
    if manifest.features != identity.features:
        difference = _difference(manifest.features, identity.features)
        raise CheckpointError(f"{at}: other features; {difference}: {mend}")
    for name in ("catalogue_hash", "config_hash"):
        found, expected = getattr(manifest, name), getattr(identity, name)
        if found != expected:
            words = [f"{name} {found}; expected {expected}", *_other_shapes(at, like)]
            raise CheckpointError(f"{at}: {'; '.join(words[:2])}: {mend}")


def _difference(found: Sequence[str], expected: Sequence[str]) -> str:
    added = [name for name in expected if name not in found]
    removed = [name for name in found if name not in expected]
    if not added and not removed:
        return "the same names in another order"
    return f"added since: {_first(added)}; removed: {_first(removed)}"


def _first(names: Sequence[str], few: int = 5) -> str:
    """As many as one reads, and how many more there are."""
    more = f" and {len(names) - few} more" if len(names) > few else ""
    return (", ".join(names[:few]) or "none") + more


def _write_arrays(at: Path, tree: Any) -> None:
    """Every leaf under its path; leaves without elements hold nothing to keep."""
    held = {k: leaf for k, leaf in _leaves(tree).items() if leaf.size}
    if jax.process_count() > 1:  # Orbax takes no arrays of one process's own devices
        held = jax.device_get(held)
    _expect_room(at.parent, held)
    before = _quiet(logging.CRITICAL)
    try:
        with _orbax() as writer:
            writer.save(at, held)
    except ValueError as error:  # TensorStore tells in words what the disk refuses
        if refused := durable.of_the_disk(error):
            raise refused from error
        raise
    _quiet(before)


def _expect_room(folder: Path, held: Mapping[str, Any]) -> None:
    """Ask the disk for as much first: Orbax fails in many threads, and no two alike."""
    folder.mkdir(parents=True, exist_ok=True)
    size = PAGE * ROUND + sum(PAGE + leaf.nbytes for leaf in held.values())
    with TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, size)


def _quiet(level: int) -> int:
    """Let Orbax tell no less than this; what it told before.

    What goes wrong is raised, and its threads tell their tracebacks too, long after.
    """
    before = logging.getLogger("absl").level
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(level)
    return before


def _read_arrays(at: Path, like: Tree) -> Tree:
    if other := _other_shapes(at, like):
        mend = "symbols, sizes or members have changed, train again"
        raise CheckpointError(f"{at}: {other[0]}: {mend}")
    wanted = _leaves(like)
    held = {name: leaf for name, leaf in wanted.items() if leaf.size}
    with _orbax() as reader:
        found = reader.restore(at.absolute() / ARRAYS, held)
    read = {name: _unbound(leaf) for name, leaf in found.items()}
    empty = {k: np.zeros(x.shape, x.dtype) for k, x in wanted.items() if not x.size}
    leaves = [read.get(name, empty.get(name)) for name in wanted]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _unbound(leaf: Any) -> Any:
    """The same numbers bound to no device, as a program makes them.

    Orbax binds what it reads. Compiled functions would take that for another program,
    and compile once more what the run that wrote it has left in the cache.
    """
    return jnp.array(np.asarray(leaf)) if isinstance(leaf, jax.Array) else leaf


def _orbax() -> ocp.StandardCheckpointer:
    """For this process alone: of several, each writes and reads a folder of its own."""
    own = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"own{own}"
    )
    return ocp.StandardCheckpointer(multiprocessing_options=alone)


def _leaves(tree: Any) -> dict[str, Any]:
    """The leaves by their path, such as `vote/log_weight`."""
    pairs, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in pairs
    }


def _other_shapes(at: Path, like: Any) -> list[str]:
    """Arrays that are not of the type and shape asked for, in sentences.

    Orbax casts what has another type without a word.
    """
    held = {name: leaf for name, leaf in _leaves(like).items() if leaf.size}
    with _orbax() as reader:
        stored = reader.metadata(at.absolute() / ARRAYS).item_metadata.tree
    kinds = {
        name: (_kind(stored.get(name)), _kind(held.get(name)))
        for name in sorted(stored.keys() | held.keys())
    }
    return [
        f"array {name} is {found}; expected {expected}"
        for name, (found, expected) in kinds.items()
        if found != expected
    ]


def _kind(leaf: Any) -> str:
    return "absent" if leaf is None else f"{leaf.dtype}{list(leaf.shape)}"


def _write_manifest(
    at: Path, step: int, previous: int | None, identity: Identity
) -> None:
    manifest = Manifest(SCHEMA, step, previous, *identity, files=_hashes(at))
    origin = manifest.origin and manifest.origin._asdict()
    fields = {**manifest._asdict(), "origin": origin}
    text = json.dumps(fields, indent=1).encode()
    (at / MANIFEST).write_bytes(text)
    (at / SEAL).write_bytes(_seal(text))


def _seal(text: bytes) -> bytes:
    return f"{hashlib.sha256(text).hexdigest()}  {MANIFEST}\n".encode()


def _hashes(at: Path) -> dict[str, str]:
    """SHA-256 of every file but the manifest and its seal."""
    hashes = {}
    for path in _files(at):
        name = path.relative_to(at).as_posix()
        if name not in (MANIFEST, SEAL):
            with path.open("rb") as file:
                hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def _files(at: Path) -> Iterator[Path]:
    return (path for path in sorted(at.rglob("*")) if path.is_file())


def _read(at: Path, name: str) -> bytes:
    try:
        return (at / name).read_bytes()
    except OSError as error:
        raise DamagedCheckpoint(f"{at}: {name} cannot be read ({error})") from error


def _put_in_place(draft: Path, final: Path) -> None:
    """Durable under its last name, which it takes in one step."""
    for path in draft.rglob("*"):
        durable.sync(path)
    durable.sync(draft)
    replaced = final.with_name(f"{UNFINISHED}{final.name}-replaced")
    if final.exists():
        final.rename(replaced)
    try:
        draft.rename(final)
    except OSError:
        if replaced.exists():
            replaced.rename(final)
        raise
    durable.sync(final.parent)
    shutil.rmtree(replaced, ignore_errors=True)
