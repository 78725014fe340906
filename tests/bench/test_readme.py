"""The report that lies in the repository."""

from __future__ import annotations

import pytest

from bench import readme
from bench.plots import files
from bench.sample import load


def test_the_page_is_what_its_figures_say():
    """Nobody changes a figure or a word by hand: ``python -m bench --write`` writes it anew."""
    assert readme.FILE.read_text() == readme.text(load(list(readme.SECTIONS)))


def test_the_pictures_are_there():
    """Each that the page shows, in both themes."""
    sections = load(list(readme.SECTIONS))
    for name, section in sections.items():
        for bars in readme.SECTIONS[name].plots(section):
            for file in files(bars.name).values():
                assert (readme.FILE.parent / file).stat().st_size > 1000


def test_sections_are_chosen_by_name():
    """In the order of the page; without a name all but what takes too long."""
    everything = list(readme.SECTIONS)
    assert readme.names("") == [each for each in everything if each not in readme.ON_REQUEST]
    assert readme.names(" ".join(reversed(everything))) == everything
    assert readme.names("catchup") == ["catchup"]
    with pytest.raises(ValueError, match="feet"):
        readme.names("catchup,feet")
