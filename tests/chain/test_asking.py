"""Requests under way: what they answer, and what is not waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from steembot.chain.asking import GIVEN_UP_AFTER_S, Answer, Asking
from steembot.chain.follower import Span
from steembot.chain.jobs import Job
from steembot.chain.node import Node
from steembot.errors import NodeAnswerError, NodeTimeoutError, NodeUnreachableError

NODE = Node("http://127.0.0.1:1", timeout_s=5)
OTHER = Node("http://127.0.0.1:2", timeout_s=9)


@pytest.fixture
def asking() -> Iterator[Asking]:
    """Lend one that ends its threads."""
    asking = Asking()
    yield asking
    asking.stop()


def next_answer(asking: Asking) -> Answer:
    """Return an answer that is still to come, the only one."""
    (answer,) = asking.answers(wait_s=30)
    return answer


def test_answers_come_with_what_they_were_asked_for(asking):
    """The node, the job and what the call returned; then nothing is under way any more."""
    job = Job(Span(1, 2), 1)
    now = time.monotonic()
    asking.ask(NODE, job, lambda: "two blocks", now)
    assert asking.deadlines == [now + NODE.timeout_s + GIVEN_UP_AFTER_S]
    assert asking.for_heads == set()
    answer = next_answer(asking)
    assert (answer.url, answer.result, answer.error) == (NODE.url, "two blocks", None)
    assert answer.job is job
    assert answer.seconds >= 0
    assert asking.deadlines == []
    assert list(asking.answers(wait_s=0)) == []


def test_a_failure_is_an_answer_too(asking, caplog):
    """One that a node may have is handed on; one that nobody expected is logged as a defect."""
    refused = NodeUnreachableError(NODE.url, "Connection refused")

    def fail(error: Exception) -> None:
        raise error

    asking.ask(NODE, None, lambda: fail(refused), 0.0)
    assert next_answer(asking).error is refused
    assert not caplog.records
    asking.ask(NODE, None, lambda: fail(ZeroDivisionError("why?")), 0.0)
    error = next_answer(asking).error
    assert isinstance(error, NodeAnswerError)
    assert "ZeroDivisionError" in str(error)
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_what_is_late_is_abandoned_alone_and_its_answer_dropped(asking):
    """The others go on; what an abandoned request answers in the end is seen by nobody."""
    go_on, went_on = threading.Event(), threading.Event()

    def hang() -> None:
        go_on.wait(30)
        went_on.set()

    now = 1000.0
    asking.ask(NODE, None, hang, now)
    asking.ask(OTHER, None, go_on.wait, now)
    assert asking.for_heads == {NODE.url, OTHER.url}
    assert list(asking.late(now + 5.9)) == []
    (late,) = asking.late(now + 6.0)
    assert late.url == NODE.url
    assert isinstance(late.error, NodeTimeoutError)
    assert asking.for_heads == {OTHER.url}
    go_on.set()
    answered: list[str] = []
    while not (went_on.is_set() and answered):
        answered += [answer.url for answer in asking.answers(wait_s=0.1)]
    answered += [answer.url for answer in asking.answers(wait_s=0.1)]
    assert answered == [OTHER.url]


def test_a_wait_can_be_ended_from_elsewhere(asking):
    """With nothing under way, and long before its end."""
    threading.Thread(target=asking.wake).start()
    begun = time.monotonic()
    assert list(asking.answers(wait_s=600)) == []
    assert time.monotonic() - begun < 300
