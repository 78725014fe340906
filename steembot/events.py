"""Everything of weight that steembot's processes write to the journal: what it means, what to do.

An :class:`Event` is called with the fields of one entry, and gives what ``extra=`` takes::

    log.warning("node %s: %s", url, words, extra=events.NODE_ILL(STEEM_NODE=url))

The fields are those of :data:`FIELDS`; ``STEEMBOT_PROCESS`` and a bot's ``STEEMBOT_BOT`` are in
every entry by themselves. In the journal each event has its own ``MESSAGE_ID``, an id that never
changes once it was released (sd-id128(3)), and ``journalctl -x`` explains it with the catalog,
which is made here::

    python -m steembot.events >deploy/systemd/steembot.catalog

Standard library only: every process imports it.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

FIELDS = (
    "STEEM_BLOCK",
    "STEEM_TYPE",
    "STEEM_AUTHOR",
    "STEEM_PERMLINK",
    "STEEM_TRX",
    "STEEM_NODE",
    "STEEMBOT_PROCESS",
    "STEEMBOT_BOT",
)
"""Our own fields in the journal: a block's number, an operation's type, whose and which post it
is about, its transaction's id, a node's URL, ``broadcaster`` or ``bot``, and the bot's name."""


Fields = dict[str, Any]
"""What ``extra=`` takes: the fields of one entry, ``MESSAGE_ID`` among them."""


class Event(NamedTuple):
    """One kind of entry. ``subject``, ``means`` and ``remedy`` are the catalog's words."""

    id: str
    subject: str
    means: str
    remedy: str

    def __call__(self, **fields: Any) -> Fields:
        """Return ``extra=`` for a log call; a field whose value is ``None`` is left out."""
        known = {name: value for name, value in fields.items() if value is not None}
        return {"MESSAGE_ID": self.id, **known}


NOTHING = "Nothing: this is how it should be."

# ---- any process

START_REFUSED = Event(
    "05421444fd8f47c39aa7e89ff39f7067",
    "@STEEMBOT_PROCESS@ cannot start as it is set up",
    "A setting, the handlers' module, a socket or a folder cannot be used. The message names it "
    "and says what is allowed. The process ended with status 78, and is tried again every 3 "
    "seconds.",
    "Mend what the message names, most often a line of /etc/steembot/steembot.env. The next try "
    "takes it up; `steembot doctor` checks the rest.",
)
FAILED = Event(
    "b8361aaa9cbf43a79f7fa603605bd872",
    "@STEEMBOT_PROCESS@ cannot go on",
    "The process met a trouble that it knows and cannot get around while it runs, and ended with "
    "status 1. It is started again, and goes on where it was.",
    "Read the message. If it comes again and again, do what it says; `steembot doctor` helps.",
)
CRASHED = Event(
    "2daaa1dcae694f3889488c12c40607fe",
    "@STEEMBOT_PROCESS@ ended by an error in itself",
    "This is a mistake in the program, whose traceback is in the message. The process is started "
    "again, and goes on where it was.",
    "Report it with the traceback and the version (`steembot --version`).",
)
STOPPED = Event(
    "ee8a817d3ff640128679b2b92e94af0d",
    "@STEEMBOT_PROCESS@ has stopped",
    "The process was asked to end and did so. The next start goes on where it was.",
    NOTHING,
)
SETTINGS_READ = Event(
    "f97fea10ce614e9b976fa8cd8664c8fa",
    "@STEEMBOT_PROCESS@ has read its settings again",
    "A reload (SIGHUP) was done without a restart; the message says what is in force now.",
    NOTHING,
)
SETTINGS_KEPT = Event(
    "e20380de30a642899a1e75e103c66c47",
    "@STEEMBOT_PROCESS@ keeps its old settings",
    "At a reload a setting had a value that is not allowed. The process goes on with what it "
    "had; its next start would fail.",
    "Mend the setting that the message names, and reload again.",
)
SETTINGS_WAIT = Event(
    "616d4b060070481eb5270eb3be46df79",
    "@STEEMBOT_PROCESS@ needs a restart for some settings",
    "At a reload settings had changed that are taken up at a start only; the message names them. "
    "Until then the process goes on with what it had, and the others are in force.",
    "systemctl restart steembot.target. No operation is lost by it.",
)
ENTRIES_LOST = Event(
    "5df3572e6284404ba3425389ad4a5593",
    "Log entries of @STEEMBOT_PROCESS@ were dropped",
    "The journal took no entries for a while, and more came than are kept. The least important "
    "were dropped, oldest first. Operations are not concerned: the feed went on.",
    "Find out what holds systemd-journald up: journalctl -u systemd-journald, the disk below "
    "/var/log/journal.",
)

# ---- the broadcaster

BEGINNING = Event(
    "93d98e67fdcf4897a6890ed1fccccc2e",
    "The broadcaster begins a block log at block @STEEM_BLOCK@",
    "There was no block log, so the chain is followed from this block on. Bots can be given "
    "nothing older without asking the nodes for it.",
    "Nothing, if this is a new installation. To begin elsewhere set STEEMBOT_START before the "
    "first start.",
)
GOING_ON = Event(
    "9eaaa4bab1fe4aa69cb4b7a29862fc14",
    "The broadcaster goes on after block @STEEM_BLOCK@",
    "This is the last block of the block log. What the chain made meanwhile is fetched now.",
    NOTHING,
)
CATCHING_UP = Event(
    "68d17b531ec548a884d7fb8c19728af5",
    "The broadcaster is catching up with the chain",
    "It is behind the head, after a pause of its own or of its nodes, and says every 10 seconds "
    "how far it is.",
    "Nothing. If it takes too long, raise STEEMBOT_NODE_RATE for nodes that allow it, or name "
    "faster nodes: `steembot nodes` measures them.",
)
CAUGHT_UP = Event(
    "678100f0fa82483a937e590d3cfb9762",
    "The broadcaster is at the head of the chain",
    "It has caught up, and from now on gets each block when it is made.",
    NOTHING,
)
CHAIN_BELOW = Event(
    "2f221c444c9b452e97c9f5f2971b4fee",
    "The chain has not yet reached block @STEEM_BLOCK@",
    "The next wanted block is above the head that the nodes announce. It is waited for.",
    "Nothing, if the nodes are just behind. Otherwise STEEMBOT_START or STEEMBOT_CHAIN is wrong, "
    "or the nodes belong to another chain: `steembot doctor` tells.",
)
FORK = Event(
    "67d26e728bc94257b763a0ccaedb37c2",
    "A fork removed blocks down to @STEEM_BLOCK@",
    "The nodes changed over to another branch of the chain. The removed blocks' operations are "
    "undone at every bot in mode head, newest first, and the new ones follow.",
    "Nothing. A bot that must never see an undo runs with STEEMBOT_MODE=irreversible.",
)
NODE_ILL = Event(
    "6b7ddec726f94f3ab73ab5d30359f22c",
    "The node @STEEM_NODE@ does not answer as it should",
    "It failed, lags behind the others or has another block than they have. Other nodes are "
    "asked, and this one is tried again after a rest. Said once a minute at most.",
    "Nothing while other nodes answer. If it never comes back, take it out of STEEMBOT_NODES; "
    "`steembot nodes` measures all.",
)
NODE_BACK = Event(
    "146200dd30064b2db7d4baf0336ec8a1",
    "The node @STEEM_NODE@ is back",
    "It answers as it should again.",
    NOTHING,
)
NODES_GONE = Event(
    "9d32155426e8436aa61211e68114c282",
    "No node answers",
    "The feed stands still. Nothing is lost: as soon as one of them answers, everything goes on "
    "where it was.",
    "Check this machine's network and DNS. If those are well, name other nodes in "
    "STEEMBOT_NODES; `steembot doctor` tries all of them.",
)
QUORUM_MISSING = Event(
    "2243e8d6fc3943b2ba8ec6e4c238cd07",
    "Too few nodes answer for a quorum",
    "STEEMBOT_QUORUM nodes must agree on each block, and fewer answer. The feed stands still "
    "until they do.",
    "Name more nodes in STEEMBOT_NODES, or lower STEEMBOT_QUORUM.",
)
NODES_DISAGREE = Event(
    "e9b7f3b991794f12ae8cb972f40903ba",
    "The nodes disagree on block @STEEM_BLOCK@",
    "They gave different blocks, and none of these has the quorum. The feed stands still until "
    "they agree, as they do when a fork is settled.",
    "Wait a minute. If it lasts, one of the nodes is on a chain of its own: take it out of "
    "STEEMBOT_NODES.",
)
NODE_BUG = Event(
    "fab949e7640148438e553af173475eff",
    "An answer of the node @STEEM_NODE@ was not understood",
    "Reading it failed in a way that the program does not know. The node counts as failed, and "
    "others are asked.",
    "Report it with the traceback in the message.",
)
OLD_BLOCKS_LATE = Event(
    "1816f8de640c46c884b27ca34a66b148",
    "Old blocks for a bot cannot be fetched now",
    "A bot wants blocks that are older than the block log, and the nodes do not give them. They "
    "are asked on and on; live clients do not wait for it.",
    "Nothing, if the nodes come back. Some nodes keep no old blocks: name one in STEEMBOT_NODES "
    "that does.",
)
DISK_FULL = Event(
    "bd6628ed2ce34e99ac40f7b6dfbc5f48",
    "The block log cannot be written",
    "The disk is full or fails. The feed stands still, nothing is lost, and it goes on by itself "
    "when there is room.",
    "Make room below /var/lib/steembot-broadcaster, or set STEEMBOT_LOG_BLOCKS to less and "
    "restart.",
)
DISK_BACK = Event(
    "d56d411d5bb840e0bebfbb80e8bfc49e",
    "The block log can be written again",
    "There is room again, and the feed goes on where it stood still.",
    NOTHING,
)
BLOCK_DAMAGED = Event(
    "71ee8b8946a34205b75ffbeeacb4fa3b",
    "A block of the block log is damaged",
    "The disk did not give back what was written there; the message names the block. It is fetched "
    "again from the nodes and written anew. A bot that wants it waits meanwhile, and is given "
    "nothing that is damaged. Said once a minute at most.",
    "Check the disk: its SMART values, the kernel's log.",
)
LOG_SET_ASIDE = Event(
    "ae00c86ebb064ced9810e2560f637710",
    "The block log was set aside and begun anew",
    "Its file is damaged or holds another chain. It was renamed, and its blocks are fetched "
    "again from the nodes when a bot wants them. The newest blocks of a damaged file are taken "
    "over as far as they can be read. Two such files are kept, older ones are removed.",
    "Remove the file named in the message when nobody wants to look at it any more. If it was "
    "damaged, check the disk.",
)
CLIENT_SUBSCRIBED = Event(
    "20327b41619244b7b4fa4040f2a5fe9f",
    "A client has subscribed to the feed",
    "The message names the client, its process and user, what it wants and from where on.",
    NOTHING,
)
CLIENT_LEFT = Event(
    "f283cc653c6a4a688b1cf16ecfe73eb6",
    "A client has left the feed",
    "It said goodbye, or its connection closed. It goes on where it was when it subscribes again.",
    "Nothing, if it was stopped. Otherwise its own log says why it ended.",
)
CLIENT_REFUSED = Event(
    "2dd8afdfefd54a539b6110ab1a0accfd",
    "A client of the feed was refused",
    "What it sent or wanted is not allowed; the message says what. No other client is concerned.",
    "Look at the log of the process that the message names. A bot whose block is no longer known "
    "can be put elsewhere with `steembot position`.",
)
STRANGERS = Event(
    "b1e28932869549168e6ac2b7f573faf2",
    "Connections to the feed said nothing that it understands",
    "Some process of a member of the group steembot connects to the socket and does not speak "
    "the feed's protocol.",
    "Find it: ss -xp shows who is connected to /run/steembot/broadcaster.sock.",
)

# ---- a bot

CONNECTED = Event(
    "cd8bb999d18941db8450fa9007de768a",
    "The bot @STEEMBOT_BOT@ is connected to the broadcaster",
    "Operations come from now on, beginning behind the last one that was handled.",
    NOTHING,
)
DISCONNECTED = Event(
    "acc23c5d45614300a1d3c2856f8f0579",
    "The bot @STEEMBOT_BOT@ has lost the broadcaster",
    "The broadcaster ended or is silent. The bot connects again by itself, and then goes on "
    "where it was.",
    "Nothing, if the broadcaster was restarted. Otherwise: journalctl -u steembot-broadcaster.",
)
BROADCASTER_MISSING = Event(
    "8c5b09e2fa3f4d20b2f6257af0a874b9",
    "The bot @STEEMBOT_BOT@ is still waiting for the broadcaster",
    "Nobody serves the socket, or whoever does is silent. The bot tries on.",
    "systemctl start steembot.target, or see journalctl -u steembot-broadcaster.",
)
SUBSCRIPTION_REFUSED = Event(
    "ca7af816c2434606b712fc9c02279f5a",
    "The broadcaster refuses the bot @STEEMBOT_BOT@",
    "It does not serve what the bot asked for; the message says why. The bot asks again every "
    "second.",
    "If its block is not known any more: stop the bot, put it elsewhere with `steembot position "
    "--set`, start it. If it is above the head, wait.",
)
NEW_POST = Event(
    "8d462865b03743249a235e84c826d652",
    "@STEEM_AUTHOR@ has published a post",
    "The post @STEEM_PERMLINK@ came in block @STEEM_BLOCK@. The message is its link.",
    NOTHING,
)
HANDLER_FAILED = Event(
    "1254812ee4e244f184828ad8ce0b6a90",
    "A handler failed on an operation of block @STEEM_BLOCK@",
    "It raised the exception that is in the message. What it had stored for this operation is "
    "dropped, and it is called again, three times in all.",
    "Mend the handler if the traceback shows a mistake of its own.",
)
DEAD_LETTER = Event(
    "9d35f6e1a7be4f5c8d0b6a5d6f3c2e71",
    "The bot @STEEMBOT_BOT@ set an operation of block @STEEM_BLOCK@ aside",
    "Its handlers failed on the operation for good: they raised three times, or killed or hung "
    "the process three times. The operation (@STEEM_TYPE@, transaction @STEEM_TRX@) is kept as a "
    "dead letter, with what was raised, and the bot went on with the next one.",
    "Look at it with `steembot dead-letters list --bot @STEEMBOT_BOT@` and `steembot "
    "dead-letters show ID --bot @STEEMBOT_BOT@`. When the handlers are mended and the bot is "
    "restarted, have it handle the operation after all: `steembot dead-letters redrive --all "
    "--bot @STEEMBOT_BOT@`.",
)
REDRIVEN = Event(
    "370e31ad7cfb4a98b0df578705491669",
    "A dead letter was handled after all",
    "Its operation, of block @STEEM_BLOCK@, was redriven and the handler succeeded.",
    NOTHING,
)
REDRIVE_FAILED = Event(
    "9f7472f3783b41a1a6e547f7583291c1",
    "A dead letter failed again",
    "Its operation, of block @STEEM_BLOCK@, was redriven and the handler failed on it as before. "
    "It stays a dead letter.",
    "Look at it with `steembot dead-letters`, and mend the handler before the next try.",
)
LETTERS_FULL = Event(
    "eeac43412a5f4ba4b11f6fe4e92712be",
    "The bot @STEEMBOT_BOT@ stands still, since it has too many dead letters",
    "Operation after operation fails, which is a mistake of the handler and not of an operation. "
    "So that they do not all become dead letters, the bot waits at this one, in block "
    "@STEEM_BLOCK@, and tries it again.",
    "Mend the handler and restart the bot, then redrive or drop the letters: `steembot "
    "dead-letters`.",
)
TYPE_UNKNOWN = Event(
    "ca7678b80297428d9dcb623338735811",
    "The bot waits for operations of a type that its chain does not have",
    "Its handler for @STEEM_TYPE@ is never called.",
    "Mend the name, or set STEEMBOT_CHAIN to the chain that the bot is for.",
)
TYPE_SWITCHED_OFF = Event(
    "248624b1b4ba4f33a24b4861307d5951",
    "The bot waits for virtual operations, which are switched off",
    "Its handlers for the types in the message are never called while the broadcaster runs with "
    "STEEMBOT_VIRTUAL_OPS=0.",
    "Set STEEMBOT_VIRTUAL_OPS=1 and restart the broadcaster.",
)
CLOCK_OFF = Event(
    "50605c66899847f7bea6c75affb832f4",
    "This machine's clock is not the chain's",
    "It differs by more than two block times from the time of the newest blocks. The bot judges "
    "ages (max_age=, ctx.age) and timers by the chain's time.",
    "Set the clock: `timedatectl set-ntp true`. If it is right, the broadcaster's nodes are "
    "behind: `steembot doctor`.",
)
UNREADABLE = Event(
    "df05cc94039144348264672add1d8773",
    "The bot @STEEMBOT_BOT@ passed by an operation that nobody can read",
    "The body of the operation (@STEEM_TYPE@) is no JSON object. No handler was called for it, and "
    "the bot went on. It is said once a minute at most; the metric "
    "steembot_operations_unreadable_total counts each.",
    "Nothing, if it is rare: anybody may write what they like on the chain. Otherwise compare the "
    "block at another node, and name that one in STEEMBOT_NODES.",
)
WAITS = Event(
    "1cb1c862bc4c47eb883a18c1a584fd61",
    "The bot @STEEMBOT_BOT@ waits, since its handler cannot work now",
    "The handler raised Later: what it needs, such as a web service, is away. The operation is "
    "tried again, with pauses of up to a minute unless the handler asks for longer ones, and those "
    "behind it wait. None is lost, and none becomes a dead letter.",
    "See to what the message names. The bot goes on by itself once that is back.",
)
WAITED = Event(
    "c3ef2aba020c48eaadf65905a2b45ad4",
    "The bot @STEEMBOT_BOT@ waits no longer",
    "What its handler had waited for works again.",
    NOTHING,
)
FOLDER_UNSEARCHED = Event(
    "5997f7845a7b42968a7d57d3887fc192",
    "A folder is not searched for the modules that a bot imports",
    "Others may write into it, so a stranger could have the bot run their code.",
    "Keep the bot's files in a folder that you or root own and others cannot write: chmod go-w.",
)
TIMER_FAILED = Event(
    "6eb2771d31554acdbcf5415444506b2c",
    "A timer of the bot failed",
    "A function that the bot runs at intervals raised the exception that is in the message. What "
    "it had stored is dropped, and it is called again when it is due.",
    "Mend the function.",
)

METRICS_LOST = Event(
    "da5cea354864456e816a82a0e2d85291",
    "The metrics of @STEEMBOT_PROCESS@ cannot be written",
    "STEEMBOT_METRICS names a folder below which this process has none that it alone can write. "
    "Everything else goes on.",
    "Under systemd name /run/steembot/metrics, where its unit makes such a folder; elsewhere let "
    "its user make one there, and remove one that is another user's.",
)
METRICS_UNSERVED = Event(
    "3a426b0fc0d3414b9202da7f59a9b604",
    "A bot's metrics are not served",
    "STEEMBOT_METRICS names an address. There the broadcaster serves its metrics; a bot has no "
    "network, and keeps none.",
    "To have a bot's metrics as well, name a folder, such as /run/steembot/metrics.",
)


def events() -> dict[str, Event]:
    """All events by their names here."""
    return {name: value for name, value in globals().items() if isinstance(value, Event)}


def catalog() -> str:
    """Return the message catalog for journalctl -x (its format: systemd's catalog.md)."""
    head = (
        "# What steembot's log entries mean, and what to do: journalctl -x shows it.\n"
        "# Made by python -m steembot.events; edit that module.\n"
    )
    parts = [head]
    for event in events().values():
        text = "\n".join((*_wrapped(event.means), "", *_wrapped(event.remedy)))
        parts.append(f"-- {event.id}\nSubject: {event.subject}\nDefined-By: steembot\n\n{text}\n")
    return "\n".join(parts)


def _wrapped(text: str) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) > 78:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines


if __name__ == "__main__":
    sys.stdout.write(catalog())
