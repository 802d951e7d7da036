"""`mode=certify`: proof that serving is training and that nothing reads ahead."""

from typing import Any

import msgspec

from bot4jax.certify import certificate
from bot4jax.certify.certificate import Case
from bot4jax.certify.rows import Row
from bot4jax.kernels import bars
from bot4jax.learn.dataset import record_bars
from bot4jax.modes.keeping import anchors_of
from bot4jax.modes.setting import Setting, expect_known, set_stage
from bot4jax.modes.tapes import closed_bars
from bot4jax.runtime.folder import RunFolder
from bot4jax.runtime.progress import Report, progress
from bot4jax.schema import Config

CERTIFICATE_VIOLATED = 4


def certify(config: Config) -> int:
    """Write `certificate.json` and name it; 4 where a row has not passed."""
    expect_known(config)
    with RunFolder(config) as folder:
        folder.open(is_anew=True)
        with progress() as report:
            case = case_of(set_stage(within_reach(config)), report)
            rows = list(certificate.rows(case, report))
        written = certificate.document(case, rows)
        path = folder.write_json("certificate.json", written)
        for line in told(written, rows):
            print(line)
        print(f"certificate {path}")
        return 0 if written["passed"] else CERTIFICATE_VIOLATED


def within_reach(config: Config) -> Config:
    """The configuration with no more symbols than are looked at."""
    most, asked = config.certify.symbols, config.data.symbols
    symbols = min(most, asked) if asked else most
    data = msgspec.structs.replace(config.data, symbols=symbols)
    return msgspec.structs.replace(config, data=data)


def case_of(setting: Setting, report: Report) -> Case:
    """Every bar of every span, recorded through the engine."""
    total = setting.split.test.stop
    empty = bars.init_bars(anchors_of(setting))
    _, closed = closed_bars(setting, empty, 0, total)

    def counted():
        for done, one in enumerate(closed, 1):
            report("bars", done, total)
            yield one.ints, one.floats

    return Case(
        setting.config,
        setting.settings,
        setting.engine,
        setting.source.universe,
        record_bars(0, counted()),
        setting.split,
    )


def told(written: dict[str, Any], rows: list[Row]) -> list[str]:
    """What a person wants to know: how much was compared, and what did not pass."""
    failed = [one for one in rows if not one.passed]
    verdict = (
        "passed" if written["passed"] else f"{len(failed)} of {len(rows)} rows failed"
    )
    lines = [
        f"certify: {verdict}; {len(rows)} rows, {written['values']:,} values compared "
        f"on {written['symbols']} symbols and {written['bars']:,} bars; "
        f"{len(written['absent'])} features absent"
    ]
    return lines + [
        f"  {one.kind} {one.name}, {one.check}: worst {one.worst}, allowed "
        f"{one.tolerance:g}, of {one.compared:,} compared{why(one)}"
        for one in failed
    ]


def why(failed: Row) -> str:
    """What is wrong with a row whose values are not."""
    if failed.worst is None or failed.worst > failed.tolerance:
        return ""
    return ": nothing usable, or nothing that could have differed, was among them"
