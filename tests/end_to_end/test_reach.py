"""Who reaches the parts of a running system: this machine alone, and no page of another site."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import urllib3

LISTENING = "0A"
LOOPBACK = {
    "0100007F",  # 127.0.0.1, as Linux writes it
    "0000000000000000FFFF00000100007F",  # the same, for a socket of IPv6
    "00000000000000000000000001000000",  # ::1
}
TABLES = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]


@pytest.mark.skipif(not TABLES[0].exists(), reason="this system does not say who listens where")
def test_every_part_listens_on_loopback_alone(system: Any) -> None:
    """The code server's port too: whoever reaches that one runs code."""
    settings = system.settings
    addresses: dict[int, set[str]] = {
        settings.port: set(),
        settings.dagster_port: set(),
        settings.code_server_port: set(),
    }
    for table in TABLES:
        for line in table.read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, port = local.split(":")
            if state == LISTENING and int(port, 16) in addresses:
                addresses[int(port, 16)].add(address)
    assert all(found and found <= LOOPBACK for found in addresses.values()), addresses


def test_dagsters_pages_obey_no_page_of_another_site(system: Any) -> None:
    query = {"query": 'mutation { shutdownRepositoryLocation(repositoryLocationName: "leadscore") { __typename } }'}
    address = f"{system.settings.dagster_url}/graphql"
    for headers in ({"Origin": "http://attacker.example"}, {"Origin": system.address}):
        assert urllib3.request("POST", address, json=query, headers=headers, retries=False).status == 403
    assert urllib3.request("GET", address, fields=query, retries=False).status == 405
    with socket.create_connection(("127.0.0.1", system.settings.code_server_port), timeout=5):
        pass  # it was not shut down
