"""How large the nets are: plain frozen records that need no JAX to be read."""

import msgspec

from bot4jax import registry

NETS = ("lstm", "gru", "cnn", "transformer")
"""Our members that are nets, in the order of the ensemble; plugins bring others."""


class LSTMSizes(msgspec.Struct, frozen=True, kw_only=True):
    """One layer a width."""

    widths: tuple[int, ...] = (64, 32)


class GRUSizes(msgspec.Struct, frozen=True, kw_only=True):
    """One layer a width."""

    widths: tuple[int, ...] = (48,)


class CNNSizes(msgspec.Struct, frozen=True, kw_only=True):
    """One causal convolution a channel count; its reach is (kernel − 1) × dilation."""

    channels: tuple[int, ...] = (32, 32, 32)
    dilations: tuple[int, ...] = (1, 2, 4)
    """bars between two taps"""
    kernel: int = 3


class TransformerSizes(msgspec.Struct, frozen=True, kw_only=True):
    """Sliding-window attention."""

    width: int = 32
    blocks: int = 1
    heads: int = 4
    key_heads: int = 1
    """heads that have keys and values of their own; the others share them"""
    feed_forward: int = 64
    context: int = 32
    """bars attended to, the present one included"""


class NetSizes(msgspec.Struct, frozen=True, kw_only=True):
    """All nets; hashable, because whatever changes here recompiles."""

    stem: int = 48
    """width of the projection of the features that all nets share"""
    lstm: LSTMSizes = LSTMSizes()
    gru: GRUSizes = GRUSizes()
    cnn: CNNSizes = CNNSizes()
    transformer: TransformerSizes = TransformerSizes()
    members: tuple[str, ...] = NETS


def problems(sizes: NetSizes) -> list[str]:
    """Every reason why nets of these sizes cannot be built, as `key: sentence`."""
    attention, convolution = sizes.transformer, sizes.cnn
    key_heads = max(attention.key_heads, 1)
    checks = [
        (
            len(set(sizes.members)) == len(sizes.members) > 0,
            f"members: {sizes.members} is empty or repeats a net; name each once",
        ),
        (
            set(sizes.members) <= {*NETS, *registry.NETS},
            f"members: {sizes.members} is not a choice of "
            f"{', '.join((*NETS, *registry.NETS))}",
        ),
        (
            len(convolution.channels) == len(convolution.dilations),
            f"cnn.dilations: {len(convolution.dilations)} dilations for "
            f"{len(convolution.channels)} channels; give one for each",
        ),
        (
            attention.width % max(attention.heads, 1) == 0,
            f"transformer.width: {attention.width} is not a multiple of "
            f"heads = {attention.heads}",
        ),
        (
            attention.heads % key_heads == 0,
            f"transformer.heads: {attention.heads} is not a multiple of "
            f"key_heads = {attention.key_heads}",
        ),
    ]
    return [sentence for holds, sentence in checks if not holds] + _small(sizes)


def _small(sizes: NetSizes) -> list[str]:
    """Sizes below one, and nets without a layer."""
    attention = msgspec.structs.asdict(sizes.transformer)
    numbers = {
        "stem": (sizes.stem,),
        "lstm.widths": sizes.lstm.widths,
        "gru.widths": sizes.gru.widths,
        "cnn.channels": sizes.cnn.channels,
        "cnn.dilations": sizes.cnn.dilations,
        "cnn.kernel": (sizes.cnn.kernel,),
        **{f"transformer.{name}": (value,) for name, value in attention.items()},
    }
    return [
        f"{key}: found {list(values)}; give at least one number, each at least 1"
        for key, values in numbers.items()
        if min(values, default=0) < 1
    ]
