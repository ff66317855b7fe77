"""What the venue says when it refuses: HTTP status, code and message as the exchange documents them.

Rule: a refusal is an answer like any other; nothing a client sends ends a connection handler or the process.
"""

from __future__ import annotations

from collections.abc import Mapping


class Refusal(Exception):
    """A request is answered by an error; `headers` go with it."""

    def __init__(self, status: int, code: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.code, self.text = status, code, text
        self.headers = dict(headers or {})


def missing(name: str) -> Refusal:
    return Refusal(400, -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def illegal(name: str, pattern: str) -> Refusal:
    return Refusal(400, -1100, f"Illegal characters found in parameter '{name}'; legal range is '{pattern}'.")


def invalid(name: str) -> Refusal:
    return Refusal(400, -1130, f"Data sent for parameter '{name}' is not valid.")


def invalid_symbol() -> Refusal:
    return Refusal(400, -1121, "Invalid symbol.")


def invalid_interval() -> Refusal:
    return Refusal(400, -1120, "Invalid interval.")


def invalid_depth(limit: int) -> Refusal:
    return Refusal(400, -4021, f"{limit} is not valid depth limit")


def start_after_end() -> Refusal:
    return Refusal(400, -1023, "Start time is greater than end time.")


def window_too_long(hours: int) -> Refusal:
    return Refusal(400, -1127, f"More than {hours} hours between startTime and endTime.")


def unknown_path(path: str, method: str) -> Refusal:
    return Refusal(404, -5000, f"Path {path}, Method {method} is invalid")


def too_many_requests(limit: int, retry_after_seconds: int) -> Refusal:
    return Refusal(
        429,
        -1003,
        f"Too many requests; current limit of IP is {limit} requests per minute. "
        "Please use the websocket for live updates to avoid polling the API.",
        {"Retry-After": str(retry_after_seconds)},
    )


def banned(until_ms: int, retry_after_seconds: int) -> Refusal:
    return Refusal(
        418,
        -1003,
        f"Way too many requests; IP banned until {until_ms}. "
        "Please use the websocket for live updates to avoid bans.",
        {"Retry-After": str(retry_after_seconds)},
    )
