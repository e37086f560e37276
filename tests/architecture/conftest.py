"""The deployment's files as the tests read them: compose with its variables filled in, and the images' instructions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from leadscore.settings import PROJECT_ROOT
from tests.serving.conftest import crm, features, settings, shelf

# fixtures of a server over a real database
__all__ = ["crm", "features", "settings", "shelf"]

_VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?::([-?])([^{}]*))?\}")
_OPTION = re.compile(r"--\w[\w-]*=\S+\s+")


class VariableMissing(Exception):
    """Compose would stop here: the variable has no value, and the file asks for one."""


@dataclass(frozen=True)
class Image:
    """A Dockerfile: its instructions in order, each as (name, arguments)."""

    path: Path
    instructions: list[tuple[str, str]]

    def all(self, name: str) -> list[str]:
        """Return the arguments of every instruction of that name."""
        return [arguments for found, arguments in self.instructions if found == name]

    def command(self) -> list[str]:
        """Return the image's command; it must be in exec form."""
        return exec_form(self.all("CMD")[-1])

    def health_command(self) -> list[str]:
        """Return the image's health check; it must be in exec form."""
        check = _OPTION.sub("", self.all("HEALTHCHECK")[-1])
        return exec_form(check.removeprefix("CMD "))

    def environment(self) -> dict[str, str]:
        """Return what ENV sets."""
        return dict(pair.split("=", 1) for line in self.all("ENV") for pair in line.split())


def exec_form(text: str) -> list[str]:
    """Return the words of a command that no shell takes apart."""
    words = json.loads(text)
    assert all(isinstance(word, str) for word in words), text
    return list(words)


def _image(path: Path) -> Image:
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    pairs = [line.split(None, 1) for line in joined.splitlines()]
    return Image(path, [(name, " ".join(arguments.split())) for name, arguments in pairs])


def _filled_in(node: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _filled_in(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled_in(value, variables) for value in node]
    if not isinstance(node, str):
        return node

    def value_of(match: re.Match[str]) -> str:
        name, kind, words = match.groups()
        value = variables.get(name, "")
        if not value and kind == "?":
            raise VariableMissing(words)
        return value or words or ""

    while _VARIABLE.search(node):
        node = _VARIABLE.sub(value_of, node)
    return node.replace("$$", "$")


@pytest.fixture(scope="session")
def compose() -> Callable[..., dict[str, Any]]:
    """Give a function that returns docker-compose.yml with these variables filled in as compose does."""
    document = yaml.safe_load((PROJECT_ROOT / "docker-compose.yml").read_text())

    def fill_in(**variables: str) -> dict[str, Any]:
        return dict(_filled_in(document, variables))

    return fill_in


@pytest.fixture(scope="session")
def services(compose: Callable[..., dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Give compose's services with nothing set but the password."""
    return dict(compose(DB_PASSWORD="p4ss")["services"])


@pytest.fixture(scope="session")
def images() -> dict[str, Image]:
    """Give the images by the name that compose gives them."""
    names = ("serving", "pipeline", "prometheus", "grafana")
    return {f"leadscore-{name}": _image(PROJECT_ROOT / "deploy" / f"Dockerfile.{name}") for name in names}
