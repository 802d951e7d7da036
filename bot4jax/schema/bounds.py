"""What a value may be, and what a part of the configuration is."""

from typing import Annotated

from msgspec import Meta, Struct

Text = Annotated[str, Meta(min_length=1)]
FolderName = Annotated[str, Meta(pattern=r"^\w[\w.,=+-]*\Z")]
Count = Annotated[int, Meta(ge=1)]
CountOrNone = Annotated[int, Meta(ge=0)]
"""0 has a meaning of its own, which the field tells"""
Seed = Annotated[int, Meta(ge=0, lt=2**31)]
Positive = Annotated[float, Meta(gt=0)]
NonNegative = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
PositiveShare = Annotated[float, Meta(gt=0, le=1)]
ProperShare = Annotated[float, Meta(gt=0, lt=1)]
BarSeconds = Annotated[float, Meta(ge=0.01, le=86_400)]


class Section(Struct, frozen=True, kw_only=True):
    """A part of the configuration; unknown keys are refused by `validation`."""
