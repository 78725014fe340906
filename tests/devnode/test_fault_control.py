"""Faults are switched at /faults, by options and by a signal."""

import json
import re
import signal
import ssl
from pathlib import Path

import pytest

from steembot.devnode.fault_kinds import KINDS
from tests.devnode.client import (
    PROPERTIES,
    TIMEOUT_S,
    answer_to,
    call,
    connection_to,
    devnode,
    exchange,
    head_of,
    healthy,
)
from tests.support.waiting import wait_until


def control(url, method, name="", body=None):
    response, text = exchange(url, body, method=method, path=f"/faults{name}")
    return response.status, json.loads(text)


def test_control(node):
    """See, set, and clear one or all over HTTP, untouched by the faults themselves."""
    before = node.requests
    status, state = control(node.url, "GET")
    assert (status, state["active"]) == (200, [])
    assert [each["fault"] for each in state["known"]] == [kind.usage for kind in KINDS]
    status, state = control(node.url, "POST", body="hang\n\n  http-502@0.2,for:30\n")
    assert status == 200
    assert state["active"] == [
        {"fault": "hang", "struck": 0, "left_s": None},
        {"fault": "http-502@0.2,for:30", "struck": 0, "left_s": 30.0},
    ]
    status, state = control(node.url, "DELETE", "/hang")
    assert [each["fault"] for each in state["active"]] == ["http-502@0.2,for:30"]
    assert control(node.url, "DELETE")[1]["active"] == []
    assert node.requests == before
    assert healthy(node.url)


@pytest.mark.parametrize(
    ("method", "name", "body", "said"),
    [
        ("POST", "", "http-502\nhtp-503", "fault 'htp-503': there is no fault 'htp-503'; did you"),
        ("POST", "", " \n", "one fault a line"),
        ("POST", "", "\xff\xfe", "there is no fault"),
        ("POST", "", "fork-from:4000000\nhole:9:1", "LAST 1 is below NUM 9"),
        ("DELETE", "/htp-502", None, "did you mean http-502"),
    ],
)
def test_control_refuses(node, method, name, body, said):
    """400 with one line, and nothing is changed."""
    status, answer = control(node.url, method, name, body and body.encode("latin-1"))
    assert status == 400
    assert said in answer["error"]
    assert "\n" not in answer["error"]
    assert node.faults.active == ()


def test_control_says_that_it_will_refuse(node):
    """The request that sets `refuse` is still answered."""
    status, state = control(node.url, "POST", body="refuse")
    assert (status, state["active"][0]["fault"]) == (200, "refuse")
    with connection_to(node.url) as connection, pytest.raises(ConnectionRefusedError):
        connection.connect()


LINE = re.compile(r"steembot-devnode: (http://\S+) block 1 to 5, (https://\S+) certificate (\S+)\n")


def test_command():
    """Options set faults from the start; HTTP and SIGUSR1 switch them; --https adds a port."""
    options = ("--generate", "1", "--ops", "1", "--ready", "5", "--https")
    with devnode(*options, "--fault", "http-502", "--fault", "latency:1") as (process, line):
        url, https_url, certificate = LINE.fullmatch(line).groups()
        assert exchange(url, b"{}")[0].status == 502
        assert control(url, "DELETE", "/http-502")[0] == 200
        assert head_of(url) >= 5
        context = ssl.create_default_context(cafile=certificate)
        assert answer_to(https_url, call(PROPERTIES), context=context)["result"]
        control(url, "POST", body="refuse")
        with connection_to(url) as connection, pytest.raises(ConnectionRefusedError):
            connection.connect()
        process.send_signal(signal.SIGUSR1)

        def answers():
            try:
                return exchange(url, b"{}")[0].status == 200
            except ConnectionRefusedError:
                return False

        wait_until(answers)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    assert "faults: http-502, latency:1\n" in err
    assert "faults: latency:1, refuse\n" in err
    assert "faults: none\n" in err
    assert "Traceback" not in err
    assert not Path(certificate).exists()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("htp-502", "fault 'htp-502': there is no fault 'htp-502'; did you mean http-502"),
        ("fork-from:0", "NUM '0' is not a whole number"),
    ],
)
def test_command_refuses(fault, said):
    """One line and exit 78."""
    with devnode("--generate", "1", "--fault", fault) as (process, line):
        _, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, line) == (78, "")
    assert said in err
    assert len(err.splitlines()) == 1
