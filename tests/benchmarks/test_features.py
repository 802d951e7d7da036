"""`bench=features`: who pays for what, and how it compares."""

import numpy as np
import pytest

from benchmarks import bars, plot, shares
from benchmarks.result import Row, write
from bot4jax.kernels import CATALOGUE
from bot4jax.types import BAR_FLOATS, BAR_INTS, Bar

CHOSEN = ("mean", "skewness", "twap_deviation", "dispersion")
NAMES = f"features.names=[{','.join(CHOSEN)}]"


def specs(*names):
    return [CATALOGUE[name] for name in names]


def row(stage, ms, impl="numpy"):
    return Row(
        stage=stage, impl=impl, unit="ms", n=1, warmup=0, p50=ms, p99=ms, p999=ms
    )


@pytest.fixture(scope="module")
def result(serve):
    return serve("features", NAMES, "features.window=32")


class TestResult:
    def test_every_feature_family_and_the_whole_are_measured(self, result):
        ours = {one.stage for one in result.rows if one.unit == "ms"}
        families = {f"family {CATALOGUE[name].category}" for name in CHOSEN}
        assert {"bank", *families, *CHOSEN} <= ours

    def test_shares_add_up_to_the_whole(self, result):
        paid = [one.p50 for one in result.rows if one.unit == "ms of the bank"]
        assert len(paid) == len(CHOSEN)
        assert sum(paid) == pytest.approx(result.row("bank", "ms").p50, rel=1e-4)

    def test_peers_are_counted_feature_by_feature(self, result):
        known = result.row("features", "features without a peer")
        assert (known.p50, result.row("features", "features").p50) == (0, 4)
        assert {one.stage for one in result.rows if one.impl != "bot4jax"} == set(
            CHOSEN
        )

    def test_keys_of_rows_are_unique(self, result):
        keys = [one.key for one in result.rows]
        assert len(set(keys)) == len(keys)

    def test_totals_stand_against_the_whole_bank(self, result):
        best = shares.fastest([one for one in result.rows if one.impl != "bot4jax"])
        total = sum(one.p50 for one in best.values())
        assert result.ratios["total"] == pytest.approx(
            total / result.row("bank", "ms").p50, rel=1e-4
        )

    def test_the_picture_shows_the_slowest(self, result, tmp_path):
        write(result, tmp_path)
        assert plot.main(tmp_path / "features") == 0
        drawn = (tmp_path / "features" / "cpu.svg").read_text()
        assert all(f">{name}<" in drawn for name in CHOSEN)
        assert plot.main(tmp_path) == 3


class TestShares:
    def test_what_a_family_shares_is_paid_once(self):
        """Two features read one intermediate of 8 ms; a third costs 1 ms by itself."""
        chosen = specs("peak_frequency", "spectral_centroid", "mean")
        alone = {"peak_frequency": 9.0, "spectral_centroid": 9.0, "mean": 2.0}
        families = {"frequency": 9.0, "statistical": 2.0}
        paid = shares.charges(chosen, alone, families, whole=10.0)
        assert sum(paid.values()) == pytest.approx(10.0)
        assert paid["peak_frequency"] == paid["spectral_centroid"]
        assert paid["mean"] == pytest.approx(2 / 3), "an even part of any call"

    def test_noise_charges_nobody_less_than_nothing(self):
        chosen = specs("mean", "skewness")
        alone = {"mean": 1.0, "skewness": 1.2}
        paid = shares.charges(chosen, alone, {"statistical": 0.9}, whole=0.8)
        assert sum(paid.values()) == pytest.approx(0.8)
        assert min(paid.values()) > 0

    def test_the_fastest_peer_counts_once(self):
        found = shares.fastest([row("mean", 3), row("mean", 2, "scipy"), row("x", 1)])
        assert {name: one.p50 for name, one in found.items()} == {"mean": 2, "x": 1}

    def test_ratios(self):
        peers = {"sample_entropy": 60.0, "mean": 1.0, "skewness": 9.0}
        charged = {name: 1.0 for name in (*peers, "queue_age")}
        assert shares.ratios(peers, charged, whole=5.0) == {
            "total": 14,
            "median": 9,
            "without_entropies": 2,
            "without_largest": 2,
        }
        assert shares.ratios({}, charged, whole=5.0) == {}


class TestBars:
    def test_every_column_of_a_bar_is_filled(self):
        record = bars.random_bars(5, 3, seed=0)
        assert record.ints.shape == (3, len(BAR_INTS), 5)
        assert record.floats.shape == (3, len(BAR_FLOATS), 5)
        flat = {
            name
            for name in Bar._fields
            if np.ptp(record.column(name)) == 0 and name != "mid_open"
        }
        assert flat == {"anchor", "adjustment", "live", "late", "conflated"}
        np.testing.assert_array_equal(
            record.column("mid_open")[1:], record.column("mid_close")[:-1]
        )

    def test_windows_end_with_the_newest_bar(self):
        record, scales = bars.random_bars(4, 6, seed=1), bars.unit_scales(4)
        columns = bars.Columns(record, scales)
        path = columns.window("close_path", 3)
        assert path.shape == columns.window("volume", 3).shape == (4, 3)
        np.testing.assert_array_equal(path[:, -1], 0)
        price = record.price("mid_close")
        np.testing.assert_allclose(path[:, 0], price[-3] / price[-1] - 1, atol=1e-15)
        moved = np.log(price[-1] / price[-2])
        np.testing.assert_allclose(
            columns.window("log_return", 3)[:, -1], moved, rtol=1e-5
        )
