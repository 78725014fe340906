"""What stands in front of a Steem node answers when it fails: status, headers and body. Pure.

The shapes are those of recorded answers of nginx and Cloudflare; the words are short.
"""

from dataclasses import dataclass, field
from http import HTTPStatus

from steembot.devnode.fault_notation import Fault

# nginx's own names, where http.HTTPStatus has others.
_NGINX_REASONS = {
    413: "Request Entity Too Large",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}
_CF_RAY = "0123456789abcdef-DEV"
_JUST_TEXT = "11 eof_exception: End Of File\nstringstream\n    {}\n    th_a  sstream.cpp:109 peek\n"


@dataclass(frozen=True, slots=True)
class Page:
    """A whole HTTP answer that is no JSON-RPC."""

    status: int
    reason: str
    body: str
    headers: dict[str, str] = field(default_factory=dict)


def reason_of(status: int) -> str:
    """Return the reason phrase that nginx gives with a status."""
    return _NGINX_REASONS.get(status) or HTTPStatus(status).phrase


def nginx(status: int, *, said_by: str = "nginx", text: str = "", title: str = "") -> Page:
    """Return one of nginx's built-in pages. text: a second line. title: where it differs."""
    reason = reason_of(status)
    second = f"<center>{text}</center>\r\n" if text else ""
    body = (
        f"<html>\r\n<head><title>{status} {title or reason}</title></head>\r\n<body>\r\n"
        f"<center><h1>{status} {reason}</h1></center>\r\n{second}"
        f"<hr><center>{said_by}</center>\r\n</body>\r\n</html>\r\n"
    )
    return Page(status, reason, body, {"Server": said_by, "Content-Type": "text/html"})


def cloudflare(status: int) -> Page:
    """Return a page of Cloudflare's: a small one for what it refuses, else one of its own."""
    if status == HTTPStatus.FORBIDDEN:
        page = nginx(status, said_by="cloudflare")
        return Page(page.status, page.reason, page.body, page.headers | {"Cf-Ray": _CF_RAY})
    reason = reason_of(status)
    said = reason.capitalize()
    body = (
        '<!DOCTYPE html>\n<html lang="en-US">\n<head>\n'
        f'<title>devnode | {status}: {said}</title>\n<meta charset="UTF-8" />\n</head>\n<body>\n'
        f'<div id="cf-wrapper">\n<h1>Error {status}</h1>\n<h2>{said}</h2>\n'
        f"<p>Ray ID: {_CF_RAY.partition('-')[0]}</p>\n</div>\n</body>\n</html>\n"
    )
    headers = {
        "Server": "cloudflare",
        "Content-Type": "text/html; charset=UTF-8",
        "Cache-Control": "private, max-age=0, no-store, no-cache, must-revalidate",
        "Expires": "Thu, 01 Jan 1970 00:00:01 GMT",
        "Cf-Ray": _CF_RAY,
    }
    return Page(status, reason, body, headers)


PLAIN_ON_HTTPS = nginx(
    400,
    title="The plain HTTP request was sent to HTTPS port",
    text="The plain HTTP request was sent to HTTPS port",
)


def page_of(fault: Fault) -> Page | None:
    """Return the page that a fault answers with; None for one that answers otherwise."""
    if fault.name == "plain-text":
        return Page(200, "OK", _JUST_TEXT, {"Server": "nginx", "Content-Type": "text/plain"})
    if fault.name == "rate":
        return _later(429, 1)
    kind, _, status_text = fault.name.partition("-")
    if kind != "http":
        return None
    status = int(status_text)
    match fault.arguments:
        case [int(seconds)]:
            return _later(status, seconds)
        case ["cloudflare"]:
            return cloudflare(status)
        case _:
            return nginx(status)


def _later(status: int, seconds: int) -> Page:
    page = nginx(status)
    retry = {"Retry-After": str(seconds)} if seconds else {}
    return Page(page.status, page.reason, page.body, page.headers | retry)
