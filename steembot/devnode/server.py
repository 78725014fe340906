"""The devnode's HTTP: one address that answers JSON-RPC about one chain, and fails on demand.

A request goes four steps: its body is read, `Faults.plan` draws what is wrong with it, `Rpc` makes
the answer, the answer is sent. What a fault does to the chain is in view, to the calls in rpc, to
the connection in ports; here is what it does to the sending. Faults are switched at /faults:

    GET /faults          -> {"active": […], "known": […]}
    POST /faults         one fault a line; sets all of them or none   -> as GET
    DELETE /faults       clears all   -> as GET
    DELETE /faults/NAME  clears one   -> as GET

No fault strikes /faults itself, save refuse, and tls on the HTTPS port. A request that is wrong is
answered by 400 and {"error": "…"}, one line. Only loopback is listened to there.
"""

import asyncio
import ipaddress
import itertools
import logging
import socket
import ssl
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec
from aiohttp import web

from steembot.devnode import rpc_errors
from steembot.devnode.chain import Chain
from steembot.devnode.constants import chain_id
from steembot.devnode.errors import ChainError, FaultError
from steembot.devnode.fault_kinds import KINDS
from steembot.devnode.fault_notation import Fault
from steembot.devnode.faults import Faults, Plan
from steembot.devnode.pages import PLAIN_ON_HTTPS, Page, nginx, page_of
from steembot.devnode.ports import Certificate, Port
from steembot.devnode.rpc import HEALTHY, Quirks, Rpc
from steembot.devnode.rpc_errors import RpcError
from steembot.devnode.view import Views

REQUEST_LIMIT_BYTES = 256 * 1024  # nginx's client_max_body_size in front of api.steemit.com: 413
SHUTDOWN_SECONDS = 1.0  # for requests still running; then their connections are cut
CONTROL_PATH = "/faults"

_CALL_TIMEOUT_S = 60.0  # a node's thread that does not answer for that long is stuck
_LINGER_OFF = struct.pack("ii", 1, 0)  # close() then resets the connection
_RESET_BYTES = 16 * 1024  # at most, of a body that a reset cuts: what a socket takes at once
_RECHECK_SECONDS = 0.05

log = logging.getLogger("steembot-devnode")

_SPOILT = {
    "internal-error": (rpc_errors.INTERNAL_ERROR, "Internal Error"),
    "request-timeout": (rpc_errors.REQUEST_TIMEOUT, "Request Timeout"),
    "upstream-error": (rpc_errors.UPSTREAM_RESPONSE_ERROR, "Upstream response error"),
    "bad-batch": (rpc_errors.INTERNAL_ERROR, "Internal Error"),
}
_FAILED_CALLS = {
    "database-lock": RpcError(rpc_errors.ERROR_DURING_CALL, "Unable to acquire database lock"),
    "server-error": RpcError(rpc_errors.SERVER_ERROR, "Server error"),
}

T = TypeVar("T")
_JSON = "application/json"


class DevNode:
    """A node on loopback, in the running event loop; `async with` serves until its end.

    chain: what it shows; its clock must be `clock`'s. host, port: 0 picks a free port.
    latency_s: added to every HTTP request. clock: seconds, never going back. faults: set from the
    start; seed: of their draws. https: serve a second port by TLS, with a certificate that nobody
    vouches for.

    url, https_url: its addresses, once it serves. certificate: the file with the certificate, for
    clients that shall trust it. faults: to be switched at any time, from any thread. chain: to be
    read at any time, and changed through `call` only. requests: those for JSON-RPC so far.

    Raises FaultError and ChainError for unusable faults, HttpsError, and on entering OSError when
    the address cannot be bound.
    """

    def __init__(
        self,
        chain: Chain,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        latency_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        faults: Sequence[str | Fault] = (),
        seed: int = 0,
        https: bool = False,
    ) -> None:
        self.chain = chain
        self.url = ""
        self.https_url = ""
        self.certificate: Path | None = None
        self.requests = 0
        self._host = host
        self._port = port
        self._latency_s = latency_s
        self._clock = clock
        self._https = https
        self._errors = itertools.count(1)
        self._rpc = Rpc(chain, errors=self._errors)
        self._views = Views(chain)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._runner: web.AppRunner | None = None
        self._ports: list[Port] = []
        self._made: Certificate | None = None
        self._stopping = asyncio.Event()
        self._controlling: set[asyncio.Transport | None] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.faults = Faults(
            clock=clock,
            seed=seed,
            run=self.call,
            begin=self._begin_fault,
            changed=self._faults_changed,
        )
        if faults:
            self.faults.set(*faults)

    def app(self) -> web.Application:
        """Return the HTTP application.

        `POST /` for JSON-RPC, `GET /health` as jussi has it, /faults as this module says.
        """
        app = web.Application(client_max_size=REQUEST_LIMIT_BYTES)
        app.router.add_post("/", self._json_rpc)
        app.router.add_get("/health", self._health)
        app.router.add_get(CONTROL_PATH, self._control)
        app.router.add_post(CONTROL_PATH, self._control)
        app.router.add_delete(CONTROL_PATH, self._control)
        app.router.add_delete(CONTROL_PATH + "/{name}", self._control)
        return app

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        # Who hangs up ends the work for him: a hanging request must not outlive its client.
        runner = web.AppRunner(
            self.app(),
            access_log=None,
            shutdown_timeout=SHUTDOWN_SECONDS,
            handler_cancellation=True,
        )
        self._runner = runner
        await runner.setup()
        try:
            self.url = f"http://{self._listen(self._port, None)}"
            if self._https:
                self._made = await asyncio.to_thread(Certificate, self._host)
                self.certificate = self._made.file
                self.https_url = f"https://{self._listen(0, self._made.context)}"
            self._apply_faults()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    def _listen(self, port: int, context: ssl.SSLContext | None) -> str:
        """Open a port; return its host and number as they stand in a URL."""
        assert self._runner is not None  # noqa: S101 - set up by the caller; for mypy
        server = self._runner.server
        assert server is not None  # noqa: S101
        opened = Port(self._host, port, server, context)
        self._ports.append(opened)
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{opened.number}"

    async def __aexit__(self, *_: object) -> None:
        self._stopping.set()
        if self._timer is not None:
            self._timer.cancel()
        for port in self._ports:
            await port.close()
        self._ports.clear()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._made is not None:
            self._made.close()
        self._loop = None

    def call(self, function: Callable[[], T]) -> T:
        """Run a function in the node's own thread, between two requests; return what it returns.

        So a chain that is served is changed. May be called in every thread.
        """
        loop = self._loop
        if loop is None or loop is _running_loop():
            return function()

        async def run() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), loop).result(_CALL_TIMEOUT_S)

    # Faults.

    def _begin_fault(self, fault: Fault) -> None:
        self.chain.advance(self._clock())
        self._views.begin(fault)

    def _faults_changed(self) -> None:
        log.info("faults: %s", ", ".join(map(str, self.faults.active)) or "none")
        self._apply_faults()

    def _apply_faults(self) -> None:
        """Make the ports what the faults of connections want, also when these run out."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        refuse, tls = self.faults.now("refuse"), self.faults.now("tls")
        no_tls = tls.fault.text() if tls else None
        for port in self._ports:
            if port.no_tls != no_tls:
                port.no_tls = no_tls
                port.hang_up()
                if no_tls is not None:
                    self._hang_up(secure=True)
            if refuse:
                port.refuse()
                port.hang_up()
            else:
                port.listen()
        if refuse:
            self._hang_up(secure=False)
        ends = [each.until for each in (refuse, tls) if each and each.until is not None]
        if ends and self._loop is not None:
            # The clock need not be the loop's, so look again rather than trust one sleep.
            wait_s = min(max(0.0, min(ends) - self._clock()), _RECHECK_SECONDS)
            self._timer = self._loop.call_later(wait_s, self._apply_faults)

    def _hang_up(self, *, secure: bool) -> None:
        """Close the connections that are open; secure: only those with TLS."""
        server = self._runner.server if self._runner else None
        for handler in server.connections if server else ():
            transport = handler.transport
            if transport is None or transport in self._controlling:
                continue
            if not secure or transport.get_extra_info("ssl_object") is not None:
                transport.close()

    # HTTP.

    async def _json_rpc(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        return await self._serve(request, lambda body, plan: self._rpc_for(plan).answer(body))

    async def _health(self, request: web.Request) -> web.StreamResponse:
        def answer(_body: bytes, plan: Plan) -> bytes:
            shown = self._views.of(plan.view)
            return msgspec.json.encode({"status": "OK", "jussi_num": shown.irreversible_num})

        return await self._serve(request, answer)

    async def _serve(
        self, request: web.Request, right: Callable[[bytes, Plan], bytes]
    ) -> web.StreamResponse:
        """Answer a request as the faults will have it; right: makes the body of the answer."""
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return _whole(nginx(413))
        plan = self.faults.plan(body)
        if self._latency_s or plan.delay_s:
            await asyncio.sleep(self._latency_s + plan.delay_s)
        page = page_of(plan.answer) if plan.answer else None
        if self.faults.now("tls") and not request.secure:
            page = PLAIN_ON_HTTPS
        if page is not None:
            return _whole(page)
        self.chain.advance(self._clock())
        answer = right(body, plan)
        return await self._send(request, answer, plan.answer)

    async def _send(
        self, request: web.Request, answer: bytes, fault: Fault | None
    ) -> web.StreamResponse:
        """Send an answer; less of it, or slower, where a fault will have it."""
        match fault.name if fault else "":
            case "empty-body":
                answer = b""
            case "truncated":
                answer = answer[: len(answer) // 2]
            case "hang":
                await self._stopping.wait()
                _reset(request)
            case "reset":
                stream = await _begun(request, len(answer))
                await stream.write(answer[: min(len(answer) // 2, _RESET_BYTES)])
                _reset(request)
                return stream
            case "drip":
                assert fault is not None  # noqa: S101 - it has a name; for mypy
                stream = await _begun(request, len(answer))
                for index in range(len(answer)):
                    await stream.write(answer[index : index + 1])
                    if await self._stopped_within(fault.number() / 1000):
                        _reset(request)
                        break
                return stream
        return web.Response(body=answer, content_type=_JSON)

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True

    def _rpc_for(self, plan: Plan) -> Rpc:
        """Return what answers a request that a plan strikes."""
        spoil = _SPOILT.get(plan.answer.name) if plan.answer else None
        if spoil is None and not plan.view and not plan.calls:
            return self._rpc
        given = {fault.name: fault for fault in plan.view}
        healthy = HEALTHY

        def fail() -> RpcError | None:
            struck = self.faults.strike(plan.calls)
            return _FAILED_CALLS[struck.name] if struck else None

        quirks = Quirks(
            chain_id=self._wrong_chain_id(given["wrong-chain"]) if "wrong-chain" in given else None,
            batch_limit=(
                given["batch-limit"].number() if "batch-limit" in given else healthy.batch_limit
            ),
            spoil=spoil or (_SPOILT["bad-batch"] if "bad-batch" in given else None),
            spoil_single=spoil is not None,
            fail=fail,
            unindexed=given["missing-virtual"].number() if "missing-virtual" in given else 0,
        )
        return Rpc(self._views.of(plan.view), quirks, errors=self._errors)

    def _wrong_chain_id(self, fault: Fault) -> str:
        return str(fault.arguments[0] or chain_id(hive=not self.chain.hive))

    async def _control(self, request: web.Request) -> web.Response:
        if not _is_loopback(request.remote):
            return _told(403, {"error": "faults are switched from this machine only"})
        transport = request.transport
        self._controlling.add(transport)
        try:
            if request.method == "POST":
                lines = (await request.read()).decode(errors="replace").splitlines()
                wanted = [line.strip() for line in lines if line.strip()]
                if not wanted:
                    raise FaultError("", "the body must hold one fault a line, like http-502@0.2")
                self.faults.set(*wanted)
            elif request.method == "DELETE":
                self.faults.clear(*request.match_info.values())
        except (FaultError, ChainError) as error:
            return _told(400, {"error": str(error)})
        except web.HTTPRequestEntityTooLarge:
            return _told(413, {"error": f"more than {REQUEST_LIMIT_BYTES} bytes of faults"})
        finally:
            self._controlling.discard(transport)
        answer = _told(200, self._state())
        if self.faults.now("refuse"):
            answer.force_close()  # the last answer for now
        return answer

    def _state(self) -> dict[str, Any]:
        now = self._clock()
        return {
            "active": [
                {
                    "fault": str(each.fault),
                    "struck": each.struck,
                    "left_s": None if each.until is None else round(each.until - now, 3),
                }
                for each in self.faults.now_active()
            ],
            "known": [{"fault": kind.usage, "what": kind.what} for kind in KINDS],
        }


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _is_loopback(remote: str | None) -> bool:
    try:
        return remote is not None and ipaddress.ip_address(remote).is_loopback
    except ValueError:
        return False


def _told(status: int, content: dict[str, Any]) -> web.Response:
    return web.json_response(content, status=status)


def _whole(page: Page) -> web.Response:
    return web.Response(
        status=page.status, reason=page.reason, body=page.body.encode(), headers=page.headers
    )


async def _begun(request: web.Request, length: int) -> web.StreamResponse:
    """Send the head of an answer whose body has `length` bytes."""
    stream = web.StreamResponse()
    stream.content_type = _JSON
    stream.content_length = length
    await stream.prepare(request)
    return stream


def _reset(request: web.Request) -> None:
    """Cut a request's connection, with what was not sent yet."""
    transport = request.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_OFF)
    transport.abort()
