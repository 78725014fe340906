"""steembot-devnode - a Steem node for development and tests, on this machine alone.

SYNOPSIS
    steembot-devnode --generate SEED [--ops N] [--first NUM] [--genesis-time now|ISO] [OPTION...]
    steembot-devnode --blocks FILE [--hive] [OPTION...]
    steembot-devnode --fault list

DESCRIPTION
    Answers JSON-RPC over HTTP as a public Steem node does, about a chain of its own. The chain is
    either generated from a seed (endless, with correct ids and signatures) or recorded in a file.
    A block appears every --interval seconds, the last irreversible block follows.

    Once it serves it prints one line to stdout, for a person and for a program that waits for it:

        steembot-devnode: http://127.0.0.1:PORT block FIRST to HEAD

    condenser_api and the old call form: get_config, get_version, get_dynamic_global_properties,
    get_block, get_block_header, get_ops_in_block. Also database_api, block_api,
    account_history_api.get_ops_in_block and jsonrpc.get_methods. Batches of up to 50 calls.

    With --hive it is a node of Hive as far as a reader of blocks sees one: Hive's chain id, assets
    named HIVE and HBD, and block_api.get_block_range of up to 1000 blocks. The operations and what
    they are signed for stay Steem's. Hive's own blocks are read from FILE in block_api's shape.

    With --https it answers on a second port too, by TLS with a certificate that it just made and
    nobody vouches for. The line then goes on:

        , https://127.0.0.1:PORT certificate FILE

FAULTS
    It fails in every way in which public nodes were seen to fail. `--fault list` names them; each
    is written

        NAME[:ARGUMENT...][@SHARE][,for:SECONDS][,times:N]

    as in `http-502`, `http-503:30,for:60`, `latency:200@0.5`, `missing-block:2`.
    @SHARE strikes that share of the requests, drawn from a generator that --fault-seed seeds; for:
    and times: end it. Several may be on at once, one of each name. While it runs, at its address:

        GET /faults            what is on, what there is
        POST /faults           set those of the body, one a line, all or none; one already on
                               begins anew
        DELETE /faults[/NAME]  clear all, or one

    A refused request is answered by 400 and {"error": "one line"}. While `refuse` is on nothing
    reaches the address: give it for:SECONDS, or clear it by SIGUSR1.

        curl -d http-502@0.2,for:30 http://127.0.0.1:PORT/faults

TRUST
    Everybody who reaches the address is answered, without limit of rate. It listens on loopback
    unless --host says otherwise; faults are switched from loopback only, by whoever is there. It
    opens no connection, reads only FILE and writes no file, save for --https: key and certificate,
    in a temporary folder that goes with the process. The keys of a generated chain follow from its
    seed and are worth nothing.

    A recorded file must be one chain; its signatures are not checked.

LIMITS
    Of a generated chain the newest --keep blocks are held, some 15 kB each at 40 operations a
    block; older ones are answered like those of a pruned node, as not there. A recorded file is
    held whole. Requests above 256 KiB get 413. Blocks are generated when somebody asks, some
    hundreds a second: --ready 20000 takes half a minute before the line above appears.

LOG
    To stderr: the chain's beginning, with what repeats it, each change of faults, and its end.
    Errors are one line.

SIGNALS
    SIGTERM, SIGINT: stop listening, end running requests within a second, exit 0.
    SIGUSR1: clear all faults.

EXIT STATUS
    0 stopped by a signal. 2 wrong use of options. 78 unusable blocks, faults or settings. 71 the
    address cannot be bound.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from steembot.devnode.chain import IRREVERSIBLE_LAG, KEEP_BLOCKS, SLOT_SECONDS, Chain, Source
from steembot.devnode.errors import DevNodeError
from steembot.devnode.fault_kinds import table
from steembot.devnode.fault_notation import parse
from steembot.devnode.generate import OPERATIONS_PER_BLOCK, GeneratedBlocks, genesis_for
from steembot.devnode.recorded import RecordedBlocks
from steembot.devnode.server import DevNode
from steembot.streams import visible, write_no_more

READY_GENERATED = 30
READY_RECORDED = 1

log = logging.getLogger("steembot-devnode")


def _genesis_seconds(ctx: click.Context, param: click.Parameter, text: str) -> int | None:
    """Return None for `now`, else seconds since 1970, rounded down to a slot."""
    if text == "now":
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is neither 'now' nor a time like 2020-01-01T00:00:00", ctx, param
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = int(moment.timestamp())
    if not 0 <= seconds < 1 << 32:
        raise click.BadParameter(
            f"{text!r} is not in 1970 to 2106, which is all that a block can hold", ctx, param
        )
    return seconds - seconds % SLOT_SECONDS


def _show_faults(ctx: click.Context, param: click.Parameter, wanted: object) -> object:  # noqa: ARG001
    """Print the table of faults and exit, when it is asked for."""
    if wanted is True or (isinstance(wanted, tuple) and "list" in wanted):
        click.echo(table())
        ctx.exit()
    return wanted


@click.command(
    context_settings={"show_default": True},
    help="A Steem node for development and tests, on this machine alone.",
    epilog="While it runs, faults are switched at its address: GET /faults; POST /faults with one "
    "fault a line; DELETE /faults or /faults/NAME. SIGUSR1 clears all. "
    "Example: curl -d http-502@0.2,for:30 http://127.0.0.1:PORT/faults",
)
@click.option(
    "--blocks", type=click.Path(path_type=Path), help="Serve recorded blocks: JSON lines."
)
@click.option("--generate", metavar="SEED", help="Serve an endless chain made from this seed.")
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=False,
    help="Port; 0 (default) takes a free one.",
)
@click.option(
    "--interval",
    type=click.FloatRange(min=0),
    default=SLOT_SECONDS,
    help="Seconds a block; 0: the whole file at once.",
)
@click.option(
    "--ready",
    type=click.IntRange(min=1),
    help="Blocks that exist at start. "
    f"[default: {READY_GENERATED} generated, {READY_RECORDED} recorded]",
)
@click.option(
    "--irreversible-lag",
    type=click.IntRange(min=0),
    default=IRREVERSIBLE_LAG,
    help="Blocks from the last irreversible one to the head.",
)
@click.option(
    "--latency",
    type=click.FloatRange(min=0),
    default=0,
    help="Milliseconds added to every HTTP request.",
)
@click.option(
    "--first",
    type=click.IntRange(1, 0xFFFF_FFFF),
    default=1,
    help="Number of a generated chain's first block.",
)
@click.option(
    "--genesis-time",
    callback=_genesis_seconds,
    metavar="now|ISO",
    default="now",
    help="Time of a generated chain's first block (UTC); now: such that the head is stamped now.",
)
@click.option(
    "--ops",
    type=click.IntRange(min=0),
    default=OPERATIONS_PER_BLOCK,
    help="Operations in a generated block, on average.",
)
@click.option(
    "--hive",
    is_flag=True,
    help="Be a node of Hive: its chain id, HIVE and HBD, block_api.get_block_range.",
)
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    default=KEEP_BLOCKS,
    help="Newest blocks of a generated chain that are held.",
)
@click.option(
    "--fault",
    "faults",
    metavar="NAME[:ARGUMENT...][@SHARE][,for:SECONDS][,times:N]",
    multiple=True,
    callback=_show_faults,
    help="Fail this way; may be repeated. 'list' shows all.",
)
@click.option(
    "--faults",
    "list_faults",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_faults,
    help="Show all faults and exit.",
)
@click.option(
    "--fault-seed",
    type=int,
    default=0,
    help="Seed of what @SHARE draws.",
)
@click.option("--https", is_flag=True, help="Serve by TLS too, on a second port; self-signed.")
def main(
    *,
    blocks: Path | None,
    generate: str | None,
    host: str,
    port: int,
    interval: float,
    ready: int | None,
    irreversible_lag: int,
    latency: float,
    first: int,
    genesis_time: int | None,
    ops: int,
    hive: bool,
    keep: int,
    faults: tuple[str, ...],
    fault_seed: int,
    https: bool,
) -> None:
    """Run the node until a signal ends it."""
    click.get_current_context().with_resource(visible())
    logging.basicConfig(stream=sys.stderr, format="steembot-devnode: %(message)s", level="INFO")
    if (blocks is None) == (generate is None):
        raise click.UsageError("give either --blocks FILE or --generate SEED")
    try:
        wanted = [parse(text) for text in faults]  # before the chain, which may take its time
        source: Source
        if blocks is not None:
            source = recorded = RecordedBlocks(blocks, hive=hive)
            log.info("%d recorded blocks from %s", len(recorded), blocks)
            ready = ready or READY_RECORDED
            start = time.monotonic()
        else:
            assert generate is not None  # noqa: S101 - checked above; for mypy
            if not interval:
                raise click.UsageError("--interval 0 needs --blocks: a generated chain has no end")
            ready = ready or READY_GENERATED
            start, wall = time.monotonic(), time.time()
            if genesis_time is None:
                genesis_time = genesis_for(generate, first, ready, int(wall))
                if interval == SLOT_SECONDS:
                    # The next block appears at the second it is stamped with, as on the real chain.
                    start -= wall % SLOT_SECONDS
            source = _generated(generate, genesis_time, first, ops, hive=hive)
        chain = Chain(
            source,
            start=start,
            ready=ready,
            interval_s=interval,
            irreversible_lag=irreversible_lag,
            keep=None if blocks is not None else keep,
        )
        node = DevNode(
            chain,
            host=host,
            port=port,
            latency_s=latency / 1000,
            faults=wanted,
            seed=fault_seed,
            https=https,
        )
        asyncio.run(_serve(node))
    except DevNodeError as error:
        log.error("%s", error)  # noqa: TRY400 - one line for a person, not a traceback
        sys.exit(os.EX_CONFIG)
    except OSError as error:
        log.error("cannot listen on %s port %d: %s", host, port, error.strerror)  # noqa: TRY400
        sys.exit(os.EX_OSERR)


def _generated(
    seed: str, genesis_time: int, first: int, ops: int, *, hive: bool
) -> GeneratedBlocks:
    log.info(
        "generated chain: --generate %s --first %d --genesis-time %s --ops %d%s",
        seed,
        first,
        datetime.fromtimestamp(genesis_time, UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        ops,
        " --hive" if hive else "",
    )
    return GeneratedBlocks(
        seed, genesis_time=genesis_time, first_num=first, operations=ops, hive=hive
    )


async def _serve(node: DevNode) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, node.faults.clear)
    async with node:
        chain = node.chain
        by_tls = f", {node.https_url} certificate {node.certificate}" if node.https_url else ""
        try:
            click.echo(
                f"steembot-devnode: {node.url} block {chain.oldest_num} to {chain.head.num}{by_tls}"
            )  # click flushes
        except OSError as error:
            write_no_more()
            words = f"standard output cannot be written: {error.strerror}"
            raise DevNodeError(words) from error
        await stop.wait()
    log.info("stopped at block %d after %d requests", node.chain.head.num, node.requests)


if __name__ == "__main__":
    main()
