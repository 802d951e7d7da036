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
from bot4jax.trees.forest import Forest
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
    """Full trees; their thresholds lie where robust scores lie."""
    random = np.random.default_rng(seed)
    count, nodes = trees.rounds * len(CLASSES), 2**trees.depth - 1
    leaves = random.normal(0, LEAF_DEVIATION / trees.rounds**0.5, (nodes + 1, count))
    return Forest(
        feature=jnp.asarray(random.integers(0, features, (nodes, count)), jnp.int32),
        threshold=jnp.asarray(random.normal(size=(nodes, count)), jnp.float32),
        nan_right=jnp.asarray(random.random((nodes, count)) < 0.5),
        leaf=jnp.asarray(leaves, jnp.float32),
        base=jnp.zeros(len(CLASSES), jnp.float32),
    )
