"""What `--help` prints: modes, groups, the main keys with their meaning, examples."""

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from bot4jax import schema
from bot4jax.words import groups

MAIN_KEYS = (
    "run.name",
    "run.root",
    "run.fresh",
    "run.seed",
    "run.model",
    "replay.run",
    "journal.run",
    "explain.run",
    "explain.symbol",
    "explain.step",
    "data.path",
    "data.bar_seconds",
    "data.symbols",
    "spans.train",
    "spans.calibrate",
    "spans.test",
    "features.window",
    "labels.horizon",
    "ensemble.members",
    "strategy.capital",
    "runtime.speed",
)

EXAMPLES = (
    ("python -m bot4jax.run", "train, then paper-trade a simulated market"),
    ("python -m bot4jax.run debug=tiny run.name=tiny", "the same in seconds"),
    ("python -m bot4jax.run data=binance data.path=PATH", "on recorded ticks"),
    ("python -m bot4jax.run data=daily data.path=PATH", "on daily bars"),
    ("python -m bot4jax.run mode=replay replay.run=runs/NAME", "a recorded run again"),
    (
        "python -m bot4jax.run mode=explain explain.run=runs/NAME "
        "explain.symbol=SIM0000",
        "why it was traded, or not",
    ),
    ("python -m bot4jax.run -m run.seed=1,2,3", "one run after the other"),
    ("python -m bot4jax.run --cfg job", "print the whole configuration, run nothing"),
)

EXIT_CODES = (
    "0 fine · 1 defect of the program · 2 configuration · 3 data or checkpoint · "
    "4 a replay that differs, a certificate violated · 5 halted · 130 interrupted"
)


def usage(modes: Mapping[str, str]) -> str:
    """The help text; `modes` gives what each mode does."""
    keys = {key: note(key) for key in MAIN_KEYS}
    choices = {name: " · ".join(options) for name, options in groups().items()}
    parts = (
        "bot4jax: live market ticks for a thousand symbols into risk-checked orders.",
        "usage: python -m bot4jax.run [mode=MODE] [GROUP=OPTION …] [KEY=VALUE …]",
        "Modes (mode=…)\n" + _table(modes),
        "Groups (each is a folder of conf/)\n" + _table(choices),
        "Main keys (all: --cfg job; types and units: bot4jax/schema/)\n" + _table(keys),
        "Examples\n" + _table(dict(EXAMPLES)),
        "Exit codes\n  " + EXIT_CODES,
    )
    return "\n\n".join(parts)


def note(key: str) -> str:
    """Unit and meaning of a key: what stands below its field in the schema."""
    section, field = key.split(".")
    own, common = f"{section.capitalize()}.{field}", f"Data.{field}"
    return notes().get(own) or notes()[common]


@cache
def notes() -> dict[str, str]:
    """`Class.field` → the text below it, on one line."""
    found = {}
    for path in Path(schema.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for owner in (one for one in tree.body if isinstance(one, ast.ClassDef)):
            for field, below in zip(owner.body, owner.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
                    text = " ".join(ast.literal_eval(below.value).split())
                    found[f"{owner.name}.{ast.unparse(field.target)}"] = text
    return found


def _table(rows: Mapping[str, str]) -> str:
    width = max(map(len, rows)) + 2
    return "\n".join(f"  {name:<{width}}{text}" for name, text in rows.items())
