"""How faults are written, and what is said of those that are none."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steembot.devnode.errors import DevNodeError, FaultError
from steembot.devnode.fault_kinds import KINDS, Scope
from steembot.devnode.fault_notation import Fault, parse


@st.composite
def faults_as_asked_for(draw):
    kind = draw(st.sampled_from(KINDS))
    arguments = []
    for parameter in kind.parameters:
        if parameter.choices:
            value = st.sampled_from(parameter.choices)
        elif parameter.name == "ID":
            value = st.text("0123456789abcdef", min_size=64, max_size=64)
        elif parameter.pattern:
            value = st.text(string.ascii_lowercase + "-", min_size=1, max_size=32)
        elif kind.name == "hole" and arguments:
            value = st.integers(arguments[0], parameter.most)
        else:
            value = st.integers(parameter.least, parameter.most)
        arguments.append(draw(st.none() | value if parameter.optional else value))
    on_connections = kind.scope is Scope.CONNECTION
    millionths = st.integers(1, 10**6).map(lambda number: number / 10**6)
    return Fault(
        kind.name,
        tuple(arguments),
        1.0 if on_connections else draw(st.just(1.0) | millionths),
        draw(st.none() | st.integers(1, 10**15).map(lambda number: number / 10**6)),
        None if on_connections else draw(st.none() | st.integers(1, 2**32 - 1)),
    )


@given(faults_as_asked_for())
def test_what_is_written_is_read_back(fault):
    """`str` of a fault is a fault again, the same one."""
    assert parse(str(fault)) == fault


def said_about(text):
    """What is wrong with a text as a fault, or nothing."""
    try:
        parse(text)
    except DevNodeError as error:
        return str(error)
    return ""


@given(st.text() | st.text("httprefusdly-:@,.0123456789forims", max_size=30))
def test_rubbish_is_one_clear_line(text):
    """Any text is a fault or one line about what is wrong with it."""
    said = said_about(text)
    if said:
        assert len(said.splitlines()) == 1
        assert said.startswith("fault ")
    else:
        assert parse(str(parse(text))) == parse(text)


@pytest.mark.parametrize(
    ("text", "fault", "shortest"),
    [
        ("http-502", Fault("http-502", ("nginx",)), "http-502"),
        ("http-502:nginx", Fault("http-502", ("nginx",)), "http-502"),
        ("http-502@0.20", Fault("http-502", ("nginx",), 0.2), "http-502@0.2"),
        (" http-503:30 ", Fault("http-503", (30,)), "http-503:30"),
        ("hang@1,for:2.50", Fault("hang", (), 1.0, 2.5), "hang,for:2.5"),
        ("hang,times:3,for:1", Fault("hang", (), 1.0, 1.0, 3), "hang,for:1,times:3"),
        ("hole:7", Fault("hole", (7, None)), "hole:7"),
        ("fork-from:9", Fault("fork-from", (9, "fork")), "fork-from:9"),
        ("head-back:1:flap", Fault("head-back", (1, "flap")), "head-back:1:flap"),
    ],
)
def test_what_a_text_means(text, fault, shortest):
    """With defaults filled in, and left out again."""
    assert parse(text) == fault
    assert str(fault) == shortest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is no fault ''"),
        ("htp-502", "did you mean http-502"),
        ("HTTP-502", "did you mean http-502"),
        ("frozen", "did you mean frozen-head"),
        ("zzz", "`--fault list` shows them all"),
        ("http-502:apache", "PAGE 'apache' is not nginx or cloudflare"),
        ("http-502:nginx:5", "too many arguments; it is written http-502[:PAGE]"),
        ("latency", "MS is missing, a whole number from 1 to 3600000; it is written latency:MS"),
        ("latency:-1", "MS '-1' is not a whole number from 1 to 3600000"),
        ("latency:²", "MS '²' is not a whole number"),
        ("http-502@0", "share '0' is not a number above 0 and up to 1"),
        ("http-502@1.1", "share '1.1' is not"),
        ("http-502@", "share '' is not"),
        ("http-502@0.2@0.3", "share '0.2@0.3' is not"),
        ("http-502,for:0", "for '0' is not seconds above 0"),
        ("http-502,times:0", "times '0' is not a whole number from 1"),
        ("http-502,times:1.5", "times '1.5' is not"),
        ("http-502,for:1,for:2", "'for:2' is not for:SECONDS or times:N, each at most once"),
        ("http-502,until:5", "'until:5' is not for:SECONDS or times:N"),
        ("refuse@0.5", "refuse takes no @SHARE"),
        ("tls,times:2", "tls takes no times"),
        ("hole:5:4", "LAST 4 is below NUM 5"),
        ("wrong-chain:xyz", "ID 'xyz' is not text like [0-9a-f]{64}"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(text, said):
    """What is wrong and what is allowed; the closest names for one that is none."""
    with pytest.raises(FaultError, match=re.escape(said)) as raised:
        parse(text)
    assert raised.value.text == text


def test_a_fault_that_was_put_together_is_checked(node):
    """As if it had been written."""
    with pytest.raises(FaultError, match=r"share '1\.5' is not"):
        node.faults.set(Fault("hang", (), 1.5))
    with pytest.raises(FaultError, match="did you mean http-502"):
        node.faults.clear("http-52")
