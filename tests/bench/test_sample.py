"""What is kept of a measurement."""

from __future__ import annotations

from bench.sample import Machine, Sample, Section, load, save
from bench.stats import Spread

MACHINE = Machine("a processor", 2, 4.0, "a system", 0.1)


def test_a_section_comes_back_as_it_was_kept(tmp_path):
    """The report can be written again from what was kept."""
    kept = Section("feed", "now", MACHINE, {"a": "1"}, {"s": 2.0}, [Sample("a", "", 0, {"n": 1.5})])
    save(kept, tmp_path)
    assert load(["catchup", "feed"], tmp_path) == {"feed": kept}


def test_figures_are_found_by_contestant_and_case():
    """And ratios go by rounds, not by places."""
    found = Section(
        "feed",
        "now",
        MACHINE,
        {},
        {},
        [
            Sample("us", "1", 0, {"n": 10}),
            Sample("them", "1", 1, {"n": 4}),
            Sample("them", "1", 0, {"n": 5}),
            Sample("us", "1", 1, {"n": 12}),
            Sample("us", "2", 0, failed="no"),
            Sample("us", "2", 1, failed="no"),
        ],
    )
    assert found.contestants == ["us", "them"]
    assert found.cases == ["1", "2"]
    assert found.spread("us", "1", "n") == Spread(11, 10, 12, 2)
    assert found.ratio("us", "them", "1", "n") == Spread(2.5, 2, 3, 2)
    assert found.failures("us", "2") == ["no"]
