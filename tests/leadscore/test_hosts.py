"""Hosts and origins: which names the header Host may have, and which pages are our own."""

from __future__ import annotations

import pytest

from leadscore.hosts import LOOPBACK_NAMES, host_name, is_own_origin, origin_of, own_names


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Scores.Example", "scores.example"),
        ("scores.example:443", "scores.example"),
        ("scores.example:", "scores.example"),
        ("127.0.0.1:5000", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("[::1]:5000", "[::1]"),
        ("[::FFFF:127.0.0.1]:5000", "[::ffff:127.0.0.1]"),
        ("", None),
        (":5000", None),
        ("::1", None),
        ("[::1", None),
        ("[scores.example]", None),
        ("scores.example:port", None),
        ("scores.example:443\n", None),
        ("localhost:5000.other.example", None),
        ("localhost:5000@other.example", None),
        ("user@scores.example", None),
        ("scores.example/x", None),
        ("two words", None),
    ],
)
def test_a_header_names_one_host_or_is_malformed(header: str, name: str | None) -> None:
    assert host_name(header) == name


def test_own_names_are_loopbacks_the_allowed_ones_and_those_of_the_urls() -> None:
    urls = ("https://Scores.Example:8443/base", "http://[::7]?x", None, "", "http://[", "no address")
    found = own_names(("Allowed.Example",), *urls)
    assert found == {*LOOPBACK_NAMES, "allowed.example", "scores.example", "[::7]"}
    assert own_names(()) == LOOPBACK_NAMES == {"localhost", "127.0.0.1", "[::1]"}


@pytest.mark.parametrize(
    ("origin", "is_own"),
    [
        ("http://localhost:5000", True),
        ("https://localhost:5000", True),
        ("HTTP://LocalHost:5000", True),
        ("https://scores.example", True),
        ("http://scores.example", False),
        ("https://scores.example:8443", False),
        ("http://localhost", False),
        ("http://localhost:5001", False),
        ("http://localhost:5000.other.example", False),
        ("other://localhost:5000", False),
        ("localhost:5000", False),
        ("null", False),
        ("", False),
    ],
)
def test_an_origin_is_our_own_by_the_requests_host_or_as_the_public_one(origin: str, is_own: bool) -> None:
    public_origin = origin_of("https://Scores.Example/base")
    assert public_origin == "https://scores.example"
    assert is_own_origin(origin, "LOCALHOST:5000", public_origin) is is_own


@pytest.mark.parametrize("origin", ["", "http://", "https://", "null"])
def test_without_a_host_or_a_public_origin_no_page_is_our_own(origin: str) -> None:
    assert not is_own_origin(origin, "", None)
