"""Names that scripts outside rely on."""

SUMMARY = frozenset(
    {
        *("schema", "mode", "data", "simulated", "symbols", "bars", "ticks"),
        *("classes", "members", "ensemble", "baselines", "decisions", "orders"),
        *("fills", "partial_fills", "denials", "pnl", "latency_ms"),
        *("information_age_ms", "masked", "recompiles", "resumed_from", "seed"),
        *("config_hash", "catalogue_hash", "seconds"),
    }
)
"""Fields of every run's `summary.json`."""

BARS = ["train", "calibrate", "test"]
TICKS = {"sent", "absorbed", "late", "dropped"}
MEMBER = {"log_loss", "brier", "ece", "weight"}
PNL = {"gross", "fees", "spread", "delay", "slippage", "adverse", "funding", "net"}
PNL |= {"currency"}


def check_summary(found: dict) -> None:
    """Whether a summary has them, and the fields within them."""
    assert found["schema"] == "bot4jax.summary/1"
    assert set(found) >= SUMMARY
    assert list(found["bars"]) == BARS
    assert set(found["ticks"]) >= TICKS
    assert set(found["pnl"]) == PNL
    for member in found["members"].values():
        assert set(member) >= MEMBER
    for other in (found["ensemble"], *found["baselines"].values()):
        assert set(other) >= MEMBER - {"weight"}
