"""Secrets: read from what systemd hands over, missed with a remedy, and never shown."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from steembot.bot import Bot, hiding
from steembot.bot.credentials import FOLDER, SecretMissing, Secrets
from steembot.testing import BotRun, Chain

WEBHOOK = "https://hooks.example/services/T0/s3cr3t'quoted"


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other test's secret is hidden here."""
    monkeypatch.setattr(hiding, "_values", set())


def test_a_credential_is_read_without_its_line_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a text, and once: a process's credentials do not change."""
    monkeypatch.setenv(FOLDER, str(tmp_path))
    (tmp_path / "webhook").write_text(f"{WEBHOOK}\n")
    secrets = Secrets()
    assert secrets.get("webhook") == WEBHOOK
    (tmp_path / "webhook").unlink()
    assert f"{secrets.get('webhook')}/x" == f"{WEBHOOK}/x"
    assert WEBHOOK not in repr(secrets.get("webhook"))


@pytest.mark.parametrize("folder", [None, "empty", "/nonexistent", "unreadable"])
def test_a_missing_secret_says_how_to_set_it(
    folder: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For systemd and for a person's desk; what is there and cannot be read is named."""
    monkeypatch.delenv(FOLDER, raising=False)
    if folder is not None:
        monkeypatch.setenv(FOLDER, str(tmp_path / folder))
    if folder == "unreadable":
        (tmp_path / folder / "webhook").mkdir(parents=True)
    with pytest.raises(SecretMissing) as caught:
        Secrets().get("webhook")
    if folder == "unreadable":
        assert "'webhook' cannot be read" in caught.value.words
    else:
        assert "LoadCredential=webhook:/etc/steembot/secrets/webhook" in caught.value.words
        assert caught.value.words.endswith(f"the folder that {FOLDER} names")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x\0", "n" * 256])
def test_a_name_leads_out_of_no_folder(name: str, tmp_path: Path) -> None:
    """A name is a file's, in that one folder."""
    os.environ.pop(FOLDER, None)
    with pytest.raises(ValueError, match="allowed are"):
        Secrets().get(name)


def test_a_missing_secret_makes_the_operation_wait(tmp_path: Path) -> None:
    """No dead letter; it is handled once the secret is there."""
    bot, chain, sent = Bot(), Chain(), []

    @bot.on("comment")
    def send(op, ctx):
        sent.append((ctx.secret("webhook"), op.value["permlink"]))

    run = BotRun(bot, chain, tmp_path)
    chain.post("alice", "one")
    run.catch_up()
    assert "no secret 'webhook'" in run.waiting
    assert run.dead_letters == []
    run.stop()
    BotRun(bot, chain, tmp_path, secrets={"webhook": WEBHOOK}).catch_up()
    assert sent == [(WEBHOOK, "one")]


def test_a_secret_is_shown_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not in a log line, an exception's traceback or cause, a dead letter, or a reason to wait."""
    bot, chain = Bot(), Chain()

    @bot.on("comment")
    def send(op, ctx):
        url = ctx.secret("webhook")
        ctx.log.info("posting to %s, %r", url, [url])
        said = f"that is {url}"
        ctx.log.info(said)
        try:
            raise OSError(f"cannot reach {url!s}", str(url))
        except OSError as error:
            ctx.log.exception("failed")
            raise RuntimeError(f"{url} is away") from error

    caplog.set_level(logging.DEBUG)
    run = BotRun(bot, chain, tmp_path, secrets={"webhook": WEBHOOK})
    chain.post("alice", "one")
    run.catch_up()
    (letter,) = run.dead_letters
    assert "RuntimeError: *** is away" in letter.error
    assert "posting to ***, [Secret('***')]" in run.log
    for text in (letter.error, caplog.text, *run.log, *run.journal):
        assert "s3cr3t" not in text
