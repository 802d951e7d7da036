"""Programs of others: which of them are here, and what to do about the rest."""

import sys
from functools import cache
from importlib.util import find_spec

ADVICE = "pip install -c constraints.txt -e '.[bench]'"


@cache
def is_here(*packages: str) -> bool:
    """Whether all can be imported; says so once where one cannot."""
    missing = [name for name in packages if find_spec(name) is None]
    for name in missing:
        print(
            f"benchmarks: {name} is not installed, so nothing is measured against it: "
            f"{ADVICE}",
            file=sys.stderr,
        )
    return not missing
