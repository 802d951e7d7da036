"""What an outside truth about a feature is."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Oracle(NamedTuple):
    """A feature's value on one window by other means than the feature's own."""

    value: Callable[..., Any]
    """takes columns by name, `window + lag` bars, the oldest first: the feature's own,
    or increments (`high_price`, `low_price`, `close_price`, `anchor`)"""
    truth: str
    """the library, or the paper it is written from"""
    undefined: str = ""
    """where the truth is NaN and the feature has a value, and why that value"""
