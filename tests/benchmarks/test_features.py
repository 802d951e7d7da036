"""`bench=features`: who pays for what, and how it compares."""

import msgspec
import numpy as np
import pytest

from benchmarks import bars, cold, features, growth, plot, shares
from benchmarks.result import Row, write
from bot4jax.kernels import CATALOGUE
from bot4jax.types import BAR_FLOATS, BAR_INTS, Bar

CHOSEN = ("mean", "skewness", "twap_deviation", "dispersion")
NAMES = f"features.names=[{','.join(CHOSEN)}]"


def specs(*names):
    return [CATALOGUE[name] for name in names]


def row(stage, ms, impl="numpy", unit="ms"):
    return Row(
        stage=stage, impl=impl, unit=unit, n=1, warmup=0, p50=ms, p99=ms, p999=ms
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

    def test_waiting_for_the_bank_is_told(self, result):
        assert all(result.row(stage, "s").p50 > 0 for stage in cold.STAGES)

    def test_the_picture_shows_the_slowest(self, result, tmp_path):
        write(result, tmp_path)
        assert plot.main(tmp_path / "features") == 0
        drawn = (tmp_path / "features" / "cpu.svg").read_text()
        assert all(f">{name}<" in drawn for name in CHOSEN)
        assert plot.main(tmp_path) == 3


@pytest.fixture(scope="module")
def many(serve):
    """More symbols than parts are measured on; the wait is measured above."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "PARTS", 4)
        patch.setattr(cold, "rows", lambda config: [])
        return serve("features", "features.names=[mean,dispersion]")


class TestManySymbols:
    def test_parts_and_peers_were_measured_on_fewer(self, many, result):
        assert many.row("parts and peers", "symbols").p50 == 4
        assert result.row("parts and peers", "symbols").p50 == 16
        ours = {one.stage for one in many.rows if one.key[1:] == ("bot4jax", "ms")}
        assert ours == {shares.WHOLE}, "parts of fewer symbols are no times of all"

    def test_they_share_the_call_for_all(self, many):
        paid = sum(one.p50 for one in many.rows if one.unit == "ms of the bank")
        assert paid == pytest.approx(many.row("bank", "ms").p50, rel=1e-4)

    def test_peers_are_scaled(self):
        found = features.scaled(row("mean", 3.0), 16)
        assert (found.p50, found.p999, found.impl) == (48.0, 48.0, "numpy")


class TestGrowth:
    def bank(self, result, symbols, ms, *more):
        rows = (row("bank", ms, "bot4jax"), *more)
        return msgspec.structs.replace(result, symbols=symbols, rows=rows)

    def lines(self, results):
        return growth.section(results).splitlines()

    def test_a_symbol_among_many_beside_one_among_few(self, result):
        for ms, verdict in ((200.0, "1.25 ×, of at most 1.25 ×: met."), (201.0, ".")):
            many = self.bank(result, 16_384, ms)
            told = self.lines([self.bank(result, 1024, 10.0), many])
            (line,) = [line for line in told if line.startswith("- A symbol")]
            assert line.endswith(verdict)
            assert ("missed" in line) == (ms > 200)

    def test_a_line_a_size(self, result):
        waits = [
            row(stage, value, "bot4jax", "s")
            for stage, value in zip(cold.STAGES, (12.0, 2.0), strict=True)
        ]
        told = self.lines(
            [self.bank(result, 1024, 10.0, *waits), self.bank(result, 64, 1.0)]
        )
        assert told[2].startswith("| 64 | 1 ms | 1 ms | 15.6 µs | 1.6 |")
        assert told[3].endswith("| 12 s | 2 s |")
        assert "- The bank compiled anew: 12 s, of at most 25 s: met." in told
        assert "- The bank of 1,024 symbols, median: 10 ms, of at most 10 ms: met." in (
            told
        )

    def test_the_dearest_stand_beside_their_peers(self, result):
        more = [
            row("mean", 2.0, "bot4jax", "ms of the bank"),
            row("skewness", 3.0, "bot4jax", "ms of the bank"),
            row("mean", 90.0, "scipy"),
            row("mean", 80.0, "numpy"),
        ]
        told = self.lines([self.bank(result, 1024, 5.0, *more)])
        assert told[-2:] == [
            "| `skewness` | 3 ms | – |",
            "| `mean` | 2 ms | numpy, 80 ms |",
        ]

    def test_nothing_to_compare_with(self, result):
        assert growth.section([self.bank(result, 64, 1.0)]) == ""


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
