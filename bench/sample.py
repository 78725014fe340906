"""What is measured and kept: samples, and the sections that they belong to. Pure but for files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from bench.stats import Spread, pairs

RESULTS = Path(__file__).parent / "results"


class Sample(msgspec.Struct, frozen=True, omit_defaults=True):
    """One measurement of one contestant.

    ``case`` is under what conditions, ``figures`` what came out, by name with the unit in it;
    ``failed`` says why nothing did.
    """

    contestant: str
    case: str
    round: int
    figures: dict[str, float] = {}
    failed: str = ""


class Machine(msgspec.Struct, frozen=True):
    """Where a section was measured."""

    processor: str
    cores: int
    memory_gib: float
    system: str
    load_before: float


class Section(msgspec.Struct, frozen=True):
    """All samples of one measurement, with what one needs to read them."""

    name: str
    taken: str
    machine: Machine
    versions: dict[str, str]
    settings: dict[str, float | str]
    samples: list[Sample]

    def of(self, contestant: str | None = None, case: str | None = None) -> Iterator[Sample]:
        """Yield the samples of a contestant, of a case, or of both."""
        for sample in self.samples:
            if contestant in (None, sample.contestant) and case in (None, sample.case):
                yield sample

    def by_round(self, contestant: str, case: str, figure: str) -> dict[int, float]:
        """Return one figure of a contestant in a case, by round."""
        return {
            sample.round: sample.figures[figure]
            for sample in self.of(contestant, case)
            if figure in sample.figures
        }

    def spread(self, contestant: str, case: str, figure: str) -> Spread | None:
        """Return a figure's median and spread over the rounds."""
        return Spread.of(self.by_round(contestant, case, figure).values())

    def spreads(self, figure: str) -> list[list[Spread | None]]:
        """Return a figure of everyone: a list for each case, in it one for each contestant."""
        return [
            [self.spread(name, case, figure) for name in self.contestants] for case in self.cases
        ]

    def ratio(self, ours: str, theirs: str, case: str, figure: str) -> Spread | None:
        """Return ours / theirs, pair by pair."""
        return Spread.of(
            pairs(self.by_round(ours, case, figure), self.by_round(theirs, case, figure))
        )

    def failures(self, contestant: str, case: str) -> list[str]:
        """Return why a contestant has no figures in a case, each reason once."""
        return list(dict.fromkeys(each.failed for each in self.of(contestant, case) if each.failed))

    @property
    def contestants(self) -> list[str]:
        """Who took part, in the order of the first round."""
        return distinct(sample.contestant for sample in self.samples)

    @property
    def cases(self) -> list[str]:
        """Under which conditions, in order."""
        return distinct(sample.case for sample in self.samples)


def distinct(names: Iterable[str]) -> list[str]:
    """Return each name once, in the order in which they first come."""
    return list(dict.fromkeys(names))


def save(section: Section, folder: Path = RESULTS) -> None:
    """Keep a section, so that the report can be written again while others are measured anew."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{section.name}.json"
    new = path.with_suffix(".new")
    new.write_bytes(msgspec.json.format(msgspec.json.encode(section), indent=1) + b"\n")
    new.replace(path)


def load(names: Sequence[str], folder: Path = RESULTS) -> dict[str, Section]:
    """Read the sections of these names that were ever measured."""
    decode = msgspec.json.Decoder(Section).decode
    paths = {name: folder / f"{name}.json" for name in names}
    return {name: decode(path.read_bytes()) for name, path in paths.items() if path.exists()}
