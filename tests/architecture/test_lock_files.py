"""The lock files pin what pyproject.toml asks for, all alike, each file by its hash, and name no host."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from leadscore.settings import PROJECT_ROOT

LOCKS = ("dev", "run", "serving", "pipeline", "bench", "bench-serving", "uv")
EXTRAS_OF_LOCK = {
    "dev": ("serving", "pipeline", "launchers", "standalone", "dev"),
    "run": ("serving", "pipeline", "standalone"),
    "serving": ("serving",),
    "pipeline": ("pipeline", "launchers"),
    "bench": ("bench",),
    "bench-serving": ("bench-serving",),
}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")

Pins = dict[str, dict[str, str]]


def lock_text(lock: str) -> str:
    return (PROJECT_ROOT / "requirements" / f"{lock}.txt").read_text()


def pinned(lock: str) -> list[Requirement]:
    """Return the lock file's pins, one for each marker that a distribution has a version for."""
    return [Requirement(line.removesuffix(" \\")) for line in lock_text(lock).splitlines() if re.match(r"\w", line)]


def versions(lock: str, python: str) -> dict[str, str]:
    """Return the version of each distribution that the lock file installs on Linux with this Python."""
    found = {}
    for pin in pinned(lock):
        if is_for(pin, python):
            (specifier,) = pin.specifier
            assert specifier.operator == "=="
            assert canonicalize_name(pin.name) not in found
            found[canonicalize_name(pin.name)] = specifier.version
    return found


def is_for(requirement: Requirement, python: str) -> bool:
    """Return whether the requirement holds on Linux with this Python."""
    environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    return requirement.marker is None or requirement.marker.evaluate(environment)


def wanted(lock: str, python: str) -> list[Requirement]:
    """Return what pyproject.toml asks for with this Python."""
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    texts = [*project["dependencies"], *(text for extra in EXTRAS_OF_LOCK[lock] for text in optional[extra])]
    return [requirement for requirement in map(Requirement, texts) if is_for(requirement, python)]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", EXTRAS_OF_LOCK)
def test_every_requirement_is_met_by_a_pin(lock: str, python: str) -> None:
    found = versions(lock, python)
    for requirement in wanted(lock, python):
        name = canonicalize_name(requirement.name)
        assert name in found, f"{name} is not in requirements/{lock}.txt: run make lock"
        assert found[name] in requirement.specifier, f"{name} {found[name]} is too old: run make lock"


@pytest.mark.parametrize("lock", ["run", "serving", "pipeline"])
def test_what_is_tested_is_what_is_deployed(lock: str) -> None:
    for python in PYTHONS:
        assert versions(lock, python).items() <= versions("dev", python).items()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_hashes_and_no_line_says_anything_else(lock: str) -> None:
    lines = [line for line in lock_text(lock).splitlines() if not line.lstrip().startswith("#")]
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if re.match(r"\w", line):
            assert line.endswith(" \\")
            assert HASH.fullmatch(following), f"{line} has no hash"
        else:
            assert HASH.fullmatch(line), f"{line} is neither a pin nor a hash"


@pytest.mark.parametrize("lock", LOCKS)
def test_no_lock_file_names_a_host(lock: str) -> None:
    without_pins = re.sub(r"^[\w.-]+(?:\[.*?\])?==.*$", "", lock_text(lock), flags=re.MULTILINE)
    assert "://" not in lock_text(lock)
    assert not re.search(
        r"\b(?!(?:pyproject\.toml|requirements/[\w-]+\.txt)\b)[a-z0-9-]+\.(?:com|io|net|org)\b", without_pins
    )
    assert "index-url" not in lock_text(lock)


def test_all_dagster_packages_are_of_one_release() -> None:
    found = {name: version for name, version in versions("dev", "3.12").items() if name.startswith("dagster")}
    assert len(found) == 12
    # integrations number the same release 0.x: 1.13.27 is their 0.29.27
    assert {name for name, version in found.items() if version.startswith("0.")} == {
        "dagster-docker",
        "dagster-k8s",
        "dagster-postgres",
        "dagster-rest-resources",
    }
    assert {version for version in found.values() if not version.startswith("0.")} == {found["dagster"]}
    numbered_apart = {version for version in found.values() if version.startswith("0.")}
    assert numbered_apart == {integration_release(found["dagster"])}


def integration_release(core: str) -> str:
    """Return an integration's version for a core release: since 1.0 was 0.16, each minor release adds one to both."""
    major, minor, micro = core.split(".")
    assert major == "1"
    return f"0.{int(minor) + 16}.{micro}"


def test_a_pins_markers_never_overlap() -> None:
    markers = {str(Marker(str(pin.marker))) for pin in pinned("dev") if pin.name == "numpy"}
    assert markers == {'python_full_version < "3.12"', 'python_full_version >= "3.12"'}
