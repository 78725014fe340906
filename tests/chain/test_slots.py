"""When the next block is asked for: soon after it is there, and not often."""

from __future__ import annotations

import random

import pytest

from steembot.chain.slots import SlotClock


def follow(interval_s: float, jitter_s: float, blocks: int, missed: float = 0.0):
    """Follow a chain in simulated time; returns (delays, questions) after a warm-up."""
    rng = random.Random(7)
    clock = SlotClock()
    now, delays, questions = 0.0, [], 0
    arrival = 1.0
    for index in range(blocks):
        slots = 1 + (rng.random() < missed)
        arrival += interval_s * slots
        there = arrival + rng.uniform(0, jitter_s)
        if there <= now:
            clock.found(now, 1)
        while now < there or clock.next_question > now:
            now = max(clock.next_question, now + 1e-6)
            questions += index >= 50
            if now >= there:
                clock.found(now, 1)
                break
            clock.missed(now)
        if index >= 50:
            delays.append(now - there)
    return sorted(delays), questions / (blocks - 50)


@pytest.mark.parametrize(("jitter_s", "missed"), [(0.0, 0.0), (0.2, 0.0), (0.2, 0.05)])
def test_a_block_is_found_soon_and_with_few_questions(jitter_s, missed):
    """At 3-second slots: half of the blocks within 300 ms, at most 3 questions a block."""
    delays, questions = follow(3.0, jitter_s, 1000, missed)
    assert delays[len(delays) // 2] < 0.3
    assert delays[int(len(delays) * 0.99)] < 1.0
    assert questions <= 3


def test_a_faster_chain_is_learned():
    """A test chain with a block every 100 ms is followed at its own pace."""
    delays, _ = follow(0.1, 0.0, 500)
    assert delays[len(delays) // 2] < 0.05


def test_a_missed_slot_is_no_slower_chain():
    """After a gap of many slots the next question still comes within one."""
    clock = SlotClock()
    clock.found(0.0, 1)
    clock.found(60.0, 1)
    assert clock.next_question <= 63.0


def test_an_absent_chain_is_asked_ever_more_seldom():
    """While nothing comes the pauses grow to a quarter of a slot and stay there."""
    clock = SlotClock()
    clock.found(0.0, 1)
    now, pauses = clock.next_question, []
    for _ in range(10):
        clock.missed(now)
        pauses.append(clock.next_question - now)
        now = clock.next_question
    assert pauses == pytest.approx(sorted(pauses))
    assert pauses[-1] == pytest.approx(0.75)


def test_after_catching_up_it_asks_soon():
    """Whoever comes to the head from behind does not know the slot's phase, and asks for it."""
    clock = SlotClock()
    clock.arrived(100.0, 1)
    assert clock.next_question < 100.3
    questions = [clock.next_question]
    while questions[-1] < 103.0:
        clock.missed(questions[-1])
        questions.append(clock.next_question)
    assert len(questions) <= 7


def test_a_wrong_interval_is_unlearned():
    """An interval far too short costs a few questions, not thousands."""
    clock = SlotClock()
    clock.arrived(100.0, 1)
    clock.arrived(100.1, 1000)
    clock.arrived(100.2, 1000)
    now, questions = clock.next_question, 0
    while now < 110.0:
        clock.missed(now)
        now, questions = clock.next_question, questions + 1
    assert questions < 30
