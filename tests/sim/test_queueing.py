"""Dispatch against queueing theory, through the real client library."""

from __future__ import annotations

import csv

import pytest

from mockbroker.sim.queueing import erlang_c_wait, main, measure, round_robin_wait


def test_the_formulas_agree_with_known_values():
    # One worker: both are M/M/1, where the mean waiting time is load / (1 - load).
    assert erlang_c_wait(1, 0.8) == pytest.approx(4.0)
    assert round_robin_wait(1, 0.8) == pytest.approx(4.0)
    # Two workers: Erlang C is load**2 / (1 - load**2).
    assert erlang_c_wait(2, 0.5) == pytest.approx(0.25 / 0.75)


@pytest.mark.parametrize(("workers", "load"), [(2, 0.5), (3, 0.8)])
def test_prefetch_1_gives_erlang_c_and_dealing_out_blindly_is_as_much_worse_as_theory_says(workers, load):
    fair = measure(workers, load, prefetch_count=1, tasks=1500)
    blind = measure(workers, load, prefetch_count=0, tasks=1500)
    assert fair.agrees, fair
    assert blind.agrees, blind
    assert blind.mean_wait > fair.mean_wait + fair.half_width


def test_the_measurements_can_be_plotted_from_a_file(tmp_path, capsys):
    path = tmp_path / "waits.csv"
    assert main(["--workers", "2", "--loads", "0.5", "--tasks", "200", "--csv", str(path)]) == 0
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["prefetch_count"] for row in rows] == ["1", "0"]
    assert set(rows[0]) == {"workers", "load", "prefetch_count", "mean_wait", "half_width", "theory"}
    assert "measured" in capsys.readouterr().out


def test_a_load_that_no_worker_can_bear_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        measure(2, 1.0, 1)
