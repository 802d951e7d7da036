"""What is kept of a certificate, and how the page of findings tells it."""

import json

from benchmarks import certificates
from bot4jax.certify.rows import Row


def row(name, kind="feature", check="parity", worst=0.0, tolerance=1e-5, passed=True):
    return Row(name, kind, check, worst, tolerance, 100, 0, passed)._asdict()


def written(folder, **changed):
    """A run folder with two features, a net and a forecast that read the future."""
    rows = [
        row("near", worst=8e-6),
        row("nearer", worst=9e-9, tolerance=1e-8),
        row("silent", worst=None) | {"compared": 0},
        row("near", check="future", worst=3.0, tolerance=0.0, passed=False),
        row("gru", kind="net", worst=1e-6, tolerance=2e-6),
    ]
    told = {
        "data": "binance",
        "passed": False,
        "symbols": 2,
        "bars": 1_234,
        "rows": rows,
    }
    told |= {"values": 500, "absent": {"silent": ["flow"]}, "catalogue_hash": "ab12"}
    run = {"command": "python -m bot4jax.run data.path=PATH", "commit": "0" * 40}
    run |= {"dirty": False, "seed": 0, "processor": "a processor", "cores": 2}
    run |= {"python": "3.11.7", "packages": {"jax": "0.10.2"}, "machine": "x86_64"}
    (folder / "certificate.json").write_text(json.dumps(told))
    (folder / "manifest.json").write_text(json.dumps(run | changed))
    return str(folder)


def test_a_certificate_is_kept_in_short_and_told(tmp_path, capsys):
    results = tmp_path / "results"
    assert certificates.main([written(tmp_path)], results) == 0
    assert capsys.readouterr().out.endswith("certify/binance.json\n")
    (kept,) = certificates.committed(results)
    assert (kept.rows, kept.values, kept.defined) == (5, 500, 200)
    assert [one.name for one in kept.nearest] == ["nearer", "near"]
    line = certificates.section([kept]).splitlines()[-1]
    assert line.startswith(
        "| binance, 2 symbols, 1,234 bars; 1 features absent | `pyth"
    )
    assert "failed: near, future" in line
    assert "`nearer` 9.0e-09 of 1e-08, `near` 8.0e-06 of 1e-05" in line


def test_uncommitted_changes_are_told(tmp_path):
    kept = certificates.shortened(certificates.Path(written(tmp_path, dirty=True)))
    assert certificates.line(kept)[-1] == "`000000000000`, with uncommitted changes"
    assert certificates.section([]) == certificates.NONE_YET
