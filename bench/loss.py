"""Loss: the article's program and steembot through the same script of outages.

Both run at the same time, each at a devnode of its own with the same blocks, a block a second. What
ends by itself is started again after 3 seconds, as PM2 or systemd would. In the end each node is
asked for all its posts, and what was printed is held against them.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from bench.frame import Effort, Tick, load, section
from bench.plots import Bars
from bench.processes import (
    ORIGINAL,
    Process,
    environment,
    folder,
    node,
    python,
    steembot,
)
from bench.report import NONE, Budget, budget, page, table
from bench.report import number as written
from bench.sample import Sample, Section

NAME = "loss"
TITLE = "Loss"
PEERS_USED = ("steembot", "steem-original", "node-ipc")
OURS = "steembot"
ARTICLE = "the article's program"
ALL = "all"
INTERVAL_S = 1.0
RESTART_S = 3.0
DOWN_S = 5.0
PAUSE_S = 8.0
TURN_S = 0.05

_LINK = re.compile(r"https://steemit\.com/(@\S+/\S+)")


@dataclass(frozen=True, slots=True)
class Post:
    """A root comment: a new post, or an edit of one."""

    block: int
    link: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the posts of some blocks."""

    posts: int
    missed: int
    doubled: int


def judge(
    posts: Sequence[Post], printed: Sequence[str], *, edits: bool, first: int, last: int
) -> Verdict:
    """Hold what was printed against the posts of the blocks ``first`` to ``last``.

    ``posts`` are those of the whole chain. ``edits`` says whether a link is to be printed for each
    edit too, which is how the article's program does it, or once. Posts from before ``first`` are
    nobody's concern, even if they are edited later.
    """
    begun: dict[str, int] = {}
    for post in posts:
        begun.setdefault(post.link, post.block)
    wanted: Counter[str] = Counter()
    for post in posts:
        if first <= begun[post.link] <= last and (edits or not wanted[post.link]):
            wanted[post.link] += 1
    got = Counter(link for link in printed if link in wanted)
    return Verdict(wanted.total(), (wanted - got).total(), (got - wanted).total())


class Contestant:
    """A program of two processes at a node of its own, looked after as PM2 or systemd would."""

    def __init__(
        self, name: str, start: Callable[[str, str, Path], Process], stack: ExitStack
    ) -> None:
        self.name = name
        self.node = stack.enter_context(
            Process(python("-m", "bench.head_node", "--interval", INTERVAL_S))
        )
        self._url = self.node.line(60.0)
        self._start = start
        self._stack = stack
        self._place = stack.enter_context(folder())
        self._processes: dict[str, Process | None] = {}
        self._back_at: dict[str, float] = {}
        self.printed: list[tuple[float, str]] = []
        for role in ("broadcaster", "bot"):
            self.up(role)

    def up(self, role: str) -> None:
        """Start one of the two."""
        process = self._start(role, self._url, self._place)
        self._stack.callback(process.close)
        self._processes[role] = process
        self._back_at.pop(role, None)

    def down(self, role: str) -> None:
        """Kill one of the two, and leave it dead."""
        process = self._processes[role]
        if process is not None:
            process.kill()
            self._hear(process, time.monotonic())
        self._processes[role] = None
        self._back_at.pop(role, None)

    def ask(self, question: str) -> str:
        """Ask the node, or tell it."""
        self.node.say(question)
        return self.node.line(30.0)

    def turn(self) -> None:
        """Hear what was printed, and start again what ended by itself."""
        now = time.monotonic()
        for role, process in self._processes.items():
            if process is None:
                continue
            self._hear(process, now)
            if not process.runs and now >= self._back_at.setdefault(role, now + RESTART_S):
                self.up(role)

    def _hear(self, process: Process, now: float) -> None:
        for line in process.heard():
            found = _LINK.search(line)
            if found:
                self.printed.append((now, unquote(found[1])))


def start_original(role: str, url: str, place: Path) -> Process:
    """Start one of the article's processes."""
    env = environment(NODE_URL=url, SOCKET=place / "socket")
    return Process(node(ORIGINAL / f"{role}.js"), env=env, cwd=place)


def start_steembot(role: str, url: str, place: Path) -> Process:
    """Start one of steembot's processes."""
    env = environment(
        STEEMBOT_NODES=url, STEEMBOT_SOCKET=place / "socket", STEEMBOT_STATE_DIR=place
    )
    return Process(steembot(f"steembot-{role}"), env=env, cwd=place, log_too=True)


@dataclass(frozen=True, slots=True)
class Outage:
    """Something that fails: how it begins, how long it lasts, how it ends."""

    name: str
    begin: Callable[[Contestant], object]
    seconds: float = 0.0
    end: Callable[[Contestant], object] = lambda _: None


def script(node_down_s: float) -> list[Outage]:
    """Return the outages, in order."""

    def down(role: str) -> Outage:
        return Outage(
            f"{role} down {DOWN_S:g} s", lambda c: c.down(role), DOWN_S, lambda c: c.up(role)
        )

    refuse = f"fault refuse,for:{node_down_s:g}"
    return [
        Outage("one 502", lambda c: c.ask("fault http-502,times:1")),
        down("broadcaster"),
        down("bot"),
        Outage("fork of 2", lambda c: c.ask("fork 2")),
        Outage(f"node down {node_down_s:g} s", lambda c: c.ask(refuse), node_down_s),
    ]


@dataclass
class Phase:
    """What is known of one outage at one contestant.

    When it began and ended, the first block that is its, and the newest one when it ended.
    """

    name: str
    first: int
    begun: float
    ended: float = 0.0
    head: int = 0


@dataclass
class Course:
    """One contestant's whole way through the script."""

    contestant: Contestant
    phases: list[Phase] = field(default_factory=list)

    @property
    def head(self) -> int:
        """The newest block of its node."""
        return int(self.contestant.ask("head"))

    def figures(self) -> dict[str, dict[str, float]]:
        """Return the figures of each outage, and of all together."""
        last = self.head - 2  # steem-js passes on a block when the next one is there
        posts = [Post(**each) for each in json.loads(self.contestant.ask("posts 1"))]
        lines = self.contestant.printed
        links = [link for _, link in lines]
        edits = self.contestant.name == ARTICLE
        block_of = {post.link: post.block for post in reversed(posts)}
        found = {}
        ends = [(phase.first - 1, phase.begun) for phase in self.phases[1:]] + [(last, math.inf)]
        for phase, (end, over) in zip(self.phases, ends, strict=True):
            verdict = judge(posts, links, edits=edits, first=phase.first, last=end)
            found[phase.name] = _figures(verdict)
            after = [
                when
                for when, link in lines
                if when < over and phase.head < block_of.get(link, 0) <= end
            ]
            if after:
                found[phase.name]["goes on after s"] = max(0.0, min(after) - phase.ended)
        whole = judge(posts, links, edits=edits, first=self.phases[0].first, last=last)
        return found | {ALL: _figures(whole)}


def _figures(verdict: Verdict) -> dict[str, float]:
    return {"posts": verdict.posts, "missed": verdict.missed, "doubled": verdict.doubled}


def steps(effort: Effort) -> int:
    """Return how often :func:`measure` ticks."""
    return len(script(effort.node_down_s)) + 2


def attend(
    courses: Sequence[Course], seconds: float, until: Callable[[], bool] = lambda: False
) -> None:
    """Look after the contestants for so long, or until something is so."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not until():
        for course in courses:
            course.contestant.turn()
        time.sleep(TURN_S)


def suffer(courses: Sequence[Course], outage: Outage) -> None:
    """Put everyone through one outage, and the pause after it."""
    for course in courses:
        course.phases.append(Phase(outage.name, course.head + 1, time.monotonic()))
        outage.begin(course.contestant)
    attend(courses, outage.seconds)
    for course in courses:
        outage.end(course.contestant)
        course.phases[-1].ended = time.monotonic()
        course.phases[-1].head = course.head
    attend(courses, PAUSE_S)


def measure(effort: Effort, tick: Tick) -> Section:
    """Put both through the script at the same time."""
    before = load()
    with ExitStack() as stack:
        starts = {OURS: start_steembot, ARTICLE: start_original}
        courses = [Course(Contestant(name, start, stack)) for name, start in starts.items()]
        tick("until both print")
        attend(courses, 60.0, lambda: all(len(each.contestant.printed) > 2 for each in courses))
        for outage in script(effort.node_down_s):
            tick(outage.name)
            suffer(courses, outage)
        tick("until both are done")
        attend(courses, PAUSE_S)
        samples = [
            Sample(course.contestant.name, case, 0, figures)
            for course in courses
            for case, figures in course.figures().items()
        ]
    return section(
        NAME, samples, before, PEERS_USED, interval_s=INTERVAL_S, node_down_s=effort.node_down_s
    )


def report(found: Section) -> str:
    """Return what is to be read about it."""
    head = ["outage"]
    for name in found.contestants:
        head += [f"{name}: missed", "doubled", "goes on after"]
    rows = []
    for case in found.cases:
        cells = [case]
        for name in found.contestants:
            figures: Mapping[str, float] = next(iter(found.of(name, case))).figures
            seconds = figures.get("goes on after s")
            never = NONE if case == ALL else "not before the next outage"
            cells += [
                f"{figures['missed']:.0f} of {figures['posts']:.0f}",
                f"{figures['doubled']:.0f}",
                never if seconds is None else f"{written(seconds)} s",
            ]
        rows.append(cells)
    return page(
        "Links of posts, printed by the program of the article of 2018 and by steembot's default "
        "bot. The article's program is two processes of JavaScript, rebuilt in "
        "[original](original) with steem-js 0.6.7 and node-ipc 9.1.1. Both run at the same time, "
        f"each at a devnode with the same blocks, one every {found.settings['interval_s']:g} s "
        "instead of 3, and go through the same outages. What ends by itself is started again "
        f"after {RESTART_S:g} s; what is down is started when the outage is over. After each "
        f"outage there are {PAUSE_S:g} s without one. A post belongs to the outage before it.",
        table(head, rows),
        "`goes on after` is from the outage's end until the first link of a post from a block that "
        "came after it, so that it holds up to a block's time of waiting. The article's program "
        "prints a link for each edit too, which here counts as right. What a fork removed for good "
        "is not counted.",
    )


def budgets(found: Section) -> list[Budget]:
    """Return what was to be reached, and what was."""
    return [
        budget("posts missed", found.spread(OURS, ALL, "missed"), at_most=0),
        budget("posts doubled", found.spread(OURS, ALL, "doubled"), at_most=0),
    ]


def plots(found: Section) -> list[Bars]:
    """Return the pictures."""
    return [
        Bars(
            name="loss",
            title="Posts missed in each outage",
            panels=found.contestants,
            rows=found.cases,
            values=[
                [found.spread(name, case, "missed") for case in found.cases]
                for name in found.contestants
            ],
            highlight=OURS,
            one_scale=True,
        )
    ]
