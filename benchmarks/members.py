"""Members that nothing was fitted for: as costly as fitted ones, and never silent.

Their forecasts are chance, but as wide as those of fitted members, so that sizing, the
gate and the journal have something to do.
"""

import jax
import jax.numpy as jnp
import numpy as np

from bot4jax.learn.health import history
from bot4jax.learn.params import Members
from bot4jax.nets import fallback, zoo
from bot4jax.nets.sizes import NetSizes
from bot4jax.registry import FeatureSpec, select
from bot4jax.schema import Config
from bot4jax.schema.learning import Trees
from bot4jax.state import Settings
from bot4jax.trees.forest import MAX_LEAVES, Forest, laid_out
from bot4jax.trees.model import Tree
from bot4jax.types import CLASSES

HEAD_DEVIATION = 0.1
"""Of the heads' weights, which are zero when fresh."""
LEAF_DEVIATION = 0.5
"""Of the sum of a class's leaves, log odds."""


def chosen(config: Config) -> tuple[FeatureSpec, ...]:
    """The configured features."""
    return select(config.features.names)


def random_members(settings: Settings, trees: Trees, seed: int) -> Members:
    """Nets, a forest and a fallback in the shapes of fitted ones."""
    features = len(settings.plan.specs)
    return Members(
        nets=random_nets(settings.sizes, features, seed),
        booster=None,
        forest=random_forest(trees, features, seed),
        fallback=fallback.blank(len(settings.reads)),
        history=history(settings.sizes, []),
    )


def random_nets(sizes: NetSizes, features: int, seed: int) -> zoo.NetParams:
    """Fresh nets whose heads listen."""
    params = zoo.init(sizes, features, seed)
    key, heads = jax.random.key(seed), params.heads
    noise = jax.random.normal(key, heads.rest.shape, jnp.float32)
    heads = heads._replace(rest=heads.rest + HEAD_DEVIATION * noise)
    return params._replace(heads=heads)


def random_forest(trees: Trees, features: int, seed: int) -> Forest:
    """Full trees, as deep as may be; their thresholds lie where robust scores lie."""
    random, count = np.random.default_rng(seed), trees.rounds * len(CLASSES)
    deviation = LEAF_DEVIATION / trees.rounds**0.5
    levels = min(trees.depth, MAX_LEAVES.bit_length() - 1)
    full = [random_tree(levels, features, deviation, random) for _ in range(count)]
    return laid_out(full, trees.depth, np.zeros(len(CLASSES), np.float32))


def random_tree(
    levels: int, features: int, deviation: float, random: np.random.Generator
) -> Tree:
    """A complete tree; its leaves deviate as told, log odds."""
    nodes = 2 ** (levels + 1) - 1
    first = 2 * np.arange(nodes) + 1
    is_split = first < nodes
    normal = random.normal(size=nodes)
    return Tree(
        left=np.where(is_split, first, -1),
        feature=random.integers(0, features, nodes),
        value=np.where(is_split, normal, deviation * normal).astype(np.float32),
        default_left=random.random(nodes) < 0.5,
        cover=np.ones(nodes, np.float32),
        splits=tuple(2**level for level in range(levels)),
    )
