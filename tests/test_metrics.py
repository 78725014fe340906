"""Metrics: what Prometheus reads, from a file or a local port, and only where it is wanted."""

from __future__ import annotations

import json
import re
import socket
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from hypothesis import example, given
from prometheus_client.parser import text_string_to_metric_families

from steembot import errors, events, metrics
from steembot.bot.meters import Meters
from steembot.errors import StartError
from steembot.metrics import Counts, Histogram, Metric, Publisher, Sample, render
from tests.support.hostile import HOSTILE, anything, controls
from tests.support.processes import Process, environment
from tests.support.waiting import PATIENCE_S, wait_until
from tests.test_docs import rows
from tests.test_layers import loaded_by

DASHBOARD = Path(__file__).parents[1] / "deploy" / "grafana" / "steembot.json"
OPERATIONS = Path(__file__).parents[1] / "docs" / "operations.md"


def read(text: str) -> dict[tuple[str, ...], float]:
    """Parse metrics as Prometheus does: (name, label=value...) to value. None may come twice."""
    values = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        assert family.type in ("counter", "gauge", "histogram")
        for sample in family.samples:
            key = (sample.name, *(f"{n}={v}" for n, v in sorted(sample.labels.items())))
            assert key not in values
            values[key] = sample.value
    return values


def file_with(path: Path, *wanted: str, **least: float) -> dict[tuple[str, ...], float]:
    """Wait until a file of metrics has those names, and sums of at least this; return all of it."""
    values = {}

    def is_there() -> bool:
        values.clear()
        values.update(read(path.read_text()) if path.exists() else {})
        names = {key[0] for key in values}
        return names >= set(wanted) | least.keys() and all(
            sum(value for key, value in values.items() if key[0] == name) >= at_least
            for name, at_least in least.items()
        )

    wait_until(is_there, f"{wanted} in {path}")
    return values


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """Files are written anew all the time."""
    monkeypatch.setattr(metrics, "WRITE_EVERY_S", 0.01)


# ---- the text


@pytest.mark.parametrize("value", ['a"b', "a\\nb", "a\nb", "\\", "ä{}=,", ""])
def test_any_label_value_comes_through(value):
    """A client's name or a node's answer cannot make metrics of its own."""
    text = render([Metric("steembot_x", "gauge", "A\nb \\ c.", [Sample(1, {"client": value})])])
    ((family),) = text_string_to_metric_families(text)
    assert family.samples[0].labels == {"client": value}


@given(anything)
@example(HOSTILE)
def test_any_text_is_a_label_that_can_be_read(text):
    """A type that a node made up neither breaks the page nor fills it."""
    counts, histogram = Counts(), Histogram()
    counts.add(text)
    histogram.observe(text, 1.0)
    page = render(
        [
            Metric("steembot_x_total", "counter", "X.", counts.samples("type", bot=text)),
            Metric("steembot_h_seconds", "histogram", "H.", histogram.samples("type")),
        ]
    )
    assert controls(page, ends="\n\t") == set()
    read(page)
    assert all(
        len(label.removeprefix("type=")) <= metrics.LABEL_CHARACTERS
        for _, *labels in read(render([Metric("x", "counter", "X.", counts.samples("type"))]))
        for label in labels
    )


def test_a_metric_without_values_is_left_out():
    """Nothing is better than a header alone."""
    assert render([Metric("steembot_x", "gauge", "Nothing.", [])]) == ""


def test_a_histogram_is_cumulative():
    """Each bucket holds those below it; the last one holds all, as many as the count."""
    histogram = Histogram()
    for seconds in (0.0001, 0.0002, 0.2, 1000.0):
        histogram.observe("vote", seconds)
    text = render([Metric("steembot_h_seconds", "histogram", "H.", histogram.samples("type"))])
    values = read(text)
    buckets = {k[1]: v for k, v in values.items() if k[0] == "steembot_h_seconds_bucket"}
    assert buckets["le=0.0001"] == 1
    assert buckets["le=0.5"] == 3
    assert buckets["le=60.0"] == 3
    assert buckets["le=+Inf"] == values["steembot_h_seconds_count", "type=vote"] == 4
    assert values["steembot_h_seconds_sum", "type=vote"] == pytest.approx(1000.2003)


def test_types_without_end_are_counted_as_others():
    """A node that makes up types cannot fill the memory."""
    counts, histogram = Counts(), Histogram()
    for number in range(10_000):
        counts.add(f"type_{number}")
        histogram.observe(f"type_{number}", 1)
    samples = counts.samples("type")
    assert len(samples) == metrics.MAX_TYPES + 1
    assert sum(sample.value for sample in samples) == 10_000
    assert len(histogram._seen) == metrics.MAX_TYPES + 1


# ---- the way out


def gauge():
    """One metric."""
    return [Metric("steembot_x", "gauge", "X.", [Sample(1)])]


def test_a_file_is_whole_for_all_to_read_and_goes_with_the_process(tmp_path):
    """node_exporter, another user, reads it; a process that ended leaves no stale values."""
    path = tmp_path / "bot-x" / "steembot-bot-x.prom"
    with Publisher(tmp_path, "bot-x", gauge):
        assert file_with(path, "steembot_x") == {("steembot_x",): 1}
        assert path.stat().st_mode & 0o777 == 0o644
        assert path.parent.stat().st_mode & 0o777 == 0o755
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_said_once(tmp_path, caplog):
    """The process goes on, and the metrics come when the folder is there."""
    folder = tmp_path / "missing"
    with Publisher(folder, "bot", gauge):
        wait_until(lambda: caplog.records, "the warning")
        folder.mkdir()
        file_with(folder / "bot" / "steembot-bot.prom", "steembot_x")
    (said,) = caplog.records
    assert events.METRICS_LOST.id == said.MESSAGE_ID
    assert str(folder) in said.getMessage()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_address_answers_at_metrics(host):
    """With the format's content type; another path is not found."""
    with Publisher((host, 0), "broadcaster", gauge) as publisher:
        base = f"http://{f'[{host}]' if ':' in host else host}:{publisher.address[1]}"
        with urlopen(f"{base}/metrics", timeout=PATIENCE_S) as answer:
            assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert read(answer.read().decode()) == {("steembot_x",): 1}
        with pytest.raises(HTTPError) as caught:
            urlopen(f"{base}/", timeout=PATIENCE_S)
        caught.value.close()
        assert caught.value.code == 404


def test_an_address_that_is_taken_is_named():
    """The error names the setting and the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=rf"STEEMBOT_METRICS=127\.0\.0\.1:{port}"):
            Publisher(("127.0.0.1", port), "broadcaster", gauge)


# ---- the processes


def test_nothing_is_loaded_where_no_metrics_are_wanted():
    """They are off by default, and cost nothing then."""
    for process in ("bot", "broadcaster"):
        loaded = loaded_by(f"steembot.{process}.__main__")
        unwanted = {"steembot.metrics", "steembot.metrics_server", f"steembot.{process}.meters"}
        assert not loaded & unwanted


def test_a_bots_metrics_load_no_http():
    """A bot is small and reaches no network; its file needs neither."""
    assert not loaded_by("steembot.bot.meters", "steembot.metrics") & {"http", "ssl", "asyncio"}


def test_broadcaster_and_bot_tell_how_they_are(tmp_path, still_node):
    """Each writes its file below one folder: head, lag, operations, nodes, clients, handlers."""
    folder = tmp_path / "metrics"
    folder.mkdir()
    settings = environment(
        STEEMBOT_NODES=f"{still_node.url},http://127.0.0.1:9",
        STEEMBOT_START=1,
        STEEMBOT_SOCKET=tmp_path / "b.sock",
        STEEMBOT_STATE_DIR=tmp_path / "state",
        STEEMBOT_METRICS=folder,
        STEEMBOT_HANDLERS="failing",
        STEEMBOT_BOT_NAME="failing",
    )
    (tmp_path / "failing.py").write_text(
        "from steembot.bot import Bot\nbot = Bot()\n"
        "@bot.on('vote')\ndef vote(op, ctx): pass\n"
        "@bot.on('comment')\ndef fail(op, ctx): raise RuntimeError('by intent')\n"
    )
    begun = time.time()
    with (
        Process("steembot-broadcaster", env=settings, cwd=tmp_path) as broadcaster,
        Process("steembot-bot", env=settings, cwd=tmp_path) as bot,
    ):
        bot.says("as a dead letter")
        # Until the files are of a moment when all that is looked for had happened.
        ours = file_with(
            folder / "broadcaster" / "steembot-broadcaster.prom",
            "steembot_operations_total",
            steembot_head_block=120,
            steembot_clients=1,
            steembot_node_up=1,
            steembot_node_errors_total=1,
        )
        theirs = file_with(
            folder / "bot-failing" / "steembot-bot-failing.prom",
            steembot_dead_letters=1,
            steembot_handler_failures_total=3,
            steembot_bot_connected=1,
        )
        rare = Meters("failing")
        rare.passed_by("vote")  # no block of this node has an operation that nobody can read
        texts = [path.read_text() for path in folder.glob("*/*.prom")]
        exported = rows_of([*texts, render(rare.collect())])
        for process in (bot, broadcaster):
            process.signal(15)
            assert process.ended() == 0
    assert list(folder.iterdir()) == []
    assert ours["steembot_head_block",] == 120
    assert ours["steembot_blocks_total",] == 120
    assert ours["steembot_head_lag_seconds",] > 1e6
    assert ours["steembot_operations_total", "type=vote"] > 0
    assert ours["steembot_clients",] == 1
    assert ("steembot_client_lag_blocks", "client=failing") in ours
    assert ours["steembot_node_up", f"node={still_node.url}"] == 1
    assert ours["steembot_node_up", "node=http://127.0.0.1:9"] == 0
    errors = ("steembot_node_errors_total", "kind=unreachable", "node=http://127.0.0.1:9")
    assert ours[errors] >= 1
    started = ours["steembot_start_time_seconds", "process=broadcaster"]
    assert begun - 1 < started < time.time() + 1
    assert theirs["steembot_bot_connected", "bot=failing"] == 1
    assert theirs["steembot_handler_failures_total", "bot=failing", "type=comment"] >= 3
    count = ("steembot_handler_duration_seconds_count", "bot=failing", "type=comment")
    assert theirs[count] >= 3
    memory = ("steembot_resident_memory_bytes", "bot=failing", "process=bot")
    assert theirs[memory] < 32 * 2**20
    assert {name: (kind, labels) for name, kind, labels, _ in documented()} == exported
    samples = {key[0] for key in ours | theirs} | {"steembot_node_latency_seconds"}
    assert names_in(json.dumps(json.loads(DASHBOARD.read_text()))) <= samples
    assert names_in(OPERATIONS.read_text()) <= samples | exported.keys()


def rows_of(texts: list[str]) -> dict[str, tuple[str, set[str]]]:
    """Return kind and labels of all metrics in these files, as the documentation tells them."""
    found: dict[str, tuple[str, set[str]]] = {}
    for family in (f for text in texts for f in text_string_to_metric_families(text)):
        name = family.name + "_total" * (family.type == "counter")
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        found[name] = (family.type, labels | found.get(name, ("", set()))[1])
    return found


def documented() -> list[tuple[str, str, set[str], str]]:
    """Return what the documentation says of each metric: name, kind, labels, words."""
    table = [
        (name.strip("`"), kind, set(re.findall(r"`(\w+)`", labels)), words)
        for name, kind, labels, words in rows(OPERATIONS, "What is exported")
    ]
    assert len({name for name, *_ in table}) == len(table)
    return table


def names_in(text: str) -> set[str]:
    """Return the metrics that a text speaks of."""
    return set(re.findall(r"\bsteembot_[a-z_]+\b", text))


def test_the_documentation_tells_every_kind_of_failure():
    """The label ``kind`` has no other values than those that are written down."""
    kinds = {error.kind for error in vars(errors).values() if is_node_error(error)} - {"other"}
    (words,) = (words for name, _, _, words in documented() if name == "steembot_node_errors_total")
    assert set(re.findall(r"`(\w+)`", words)) == kinds


def is_node_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, errors.NodeError)


def test_a_bot_says_that_it_serves_no_address(tmp_path):
    """An address is the broadcaster's; a bot goes on without metrics."""
    settings = environment(
        STEEMBOT_SOCKET=tmp_path / "b.sock",
        STEEMBOT_STATE_DIR=tmp_path / "state",
        STEEMBOT_METRICS="127.0.0.1:9464",
    )
    with Process("steembot-bot", env=settings, cwd=tmp_path) as bot:
        bot.says("no metrics: STEEMBOT_METRICS names an address")
        bot.signal(15)
        assert bot.ended() == 0
