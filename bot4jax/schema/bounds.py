"""What a value may be, and what a part of the configuration is."""

from typing import Annotated

from msgspec import Meta, Struct

Text = Annotated[str, Meta(min_length=1)]
FolderName = Annotated[str, Meta(pattern=r"^\w[\w.,=+-]*\Z")]
MOST = 10**9
"""Of anything that is counted; a machine's whole numbers hold twice as many."""
LARGEST = 1e15
"""Of anything that is measured; float32 holds its square."""

Count = Annotated[int, Meta(ge=1, le=MOST)]
CountOrNone = Annotated[int, Meta(ge=0, le=MOST)]
"""0 has a meaning of its own, which the field tells"""
Lots = Annotated[int, Meta(ge=1, le=2**53)]
"""as many as float64 counts one by one"""
Seed = Annotated[int, Meta(ge=0, lt=2**31)]
Positive = Annotated[float, Meta(gt=0, le=LARGEST)]
NonNegative = Annotated[float, Meta(ge=0, le=LARGEST)]
Seconds = Annotated[float, Meta(gt=0, le=1e9)]
"""as many nanoseconds as 64 bits hold"""
Wait = Annotated[float, Meta(gt=0, le=1e6)]
"""s; as many milliseconds as the system's own waiting takes"""
Milliseconds = Annotated[float, Meta(gt=0, le=1e9)]
MillisecondsOrNone = Annotated[float, Meta(ge=0, le=1e9)]
Latency = Annotated[float, Meta(ge=0, le=3_600_000)]
"""ms, up to an hour, as in files of measured ones"""
Share = Annotated[float, Meta(ge=0, le=1)]
PositiveShare = Annotated[float, Meta(gt=0, le=1)]
ProperShare = Annotated[float, Meta(gt=0, lt=1)]
BarSeconds = Annotated[float, Meta(ge=0.01, le=86_400)]


class Section(Struct, frozen=True, kw_only=True):
    """A part of the configuration; unknown keys are refused by `validation`."""
