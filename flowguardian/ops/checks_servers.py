"""Checks of servers by connection: does it answer, is it ready, which version.

Rule: looked at, never changed; nobody logs in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flowguardian.ops.checked import OK, RED, Checked, checked
from flowguardian.ops.servers import Address, OtherServer, ServerBusy, address_of, ask_version

Check = tuple[str, Callable[[], Checked]]


def server_checks(addresses: Sequence[str], timeout_seconds: float) -> list[Check]:
    """One check per configured server."""
    return [
        (f"server {text}", lambda text=text: check_server(address_of(text), timeout_seconds))  # type: ignore[misc]
        for text in addresses
    ]


def check_server(address: Address, timeout_seconds: float) -> Checked:
    """The server answers as what it is configured to be."""
    shown = {"kind": address.kind, "where": address.where}
    try:
        version = ask_version(address, timeout_seconds)
    except ServerBusy as error:
        return checked(RED, "server_busy", why=error, **shown)
    except (OtherServer, ValueError) as error:
        return checked(RED, "server_other", why=error, **shown)
    except OSError as error:
        return checked(RED, "server_down", why=error, **shown)
    return checked(OK, "server_up", version=version, **shown)
