"""Every format that was ever written is read: a registry of each stands in `stored/`, as its release left it."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from leadscore.errors import Damaged, NotKept, UnsupportedFormat
from leadscore.formats import COMPARED_SINCE_FORMAT, FORMAT, READABLE
from leadscore.registry.activation import roll_back
from leadscore.registry.store import Registry

STORED = Path(__file__).parent / "stored"
OLDER = sorted(set(READABLE) - {FORMAT})


@pytest.fixture(params=OLDER)
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    """Give a copy of the registry that an earlier release wrote: one active version, and one that was never judged."""
    shutil.copytree(STORED / f"format_{request.param}", tmp_path / "models")
    return Registry(tmp_path / "models")


def test_each_older_format_is_kept_for_the_tests() -> None:
    assert sorted(folder.name for folder in STORED.iterdir()) == [f"format_{number}" for number in OLDER]


def test_an_older_version_is_served(stored: Registry) -> None:
    pointer = stored.active("acme")
    artifact = stored.load("acme", pointer.version, pointer.manifest_sha256)
    features = len(artifact.manifest.contract.features)
    assert artifact.scorer.probabilities(np.zeros((1, features))) == pytest.approx([0.25])
    assert [entry.version for entry in stored.history("acme").entries] == [pointer.version]


def test_an_older_judgement_reads_as_it_was(stored: Registry) -> None:
    """Without what was added since: the comparison and the report came with format 2."""
    version = stored.active("acme").version
    judgement = stored.judgement("acme", version)
    assert judgement is not None
    assert judgement.decision.verdict == "activate"
    assert judgement.withheld == ()
    if stored.manifest("acme", version).format < COMPARED_SINCE_FORMAT:
        assert (judgement.comparison, judgement.files) == (None, {})
        with pytest.raises(NotKept, match="an earlier release made it; train again"):
            stored.judged_file("acme", version, "report.html")
    else:
        assert judgement.comparison is not None
        assert judgement.comparison.roc_auc.gain.value == 0
        assert judgement.comparison.baseline_when_judged is None
        assert stored.judged_file("acme", version, "report.html") == b"<p>a report</p>\n"


def test_an_older_judgement_withholds_nothing(stored: Registry) -> None:
    """Whether a version was only tried is stored since format 6; before, each training was to activate."""
    judgement = stored.judgement("acme", stored.active("acme").version)
    assert judgement is not None
    assert judgement.may_become_active


def test_an_older_version_can_be_rolled_back_to(stored: Registry) -> None:
    newest, oldest = stored.versions("acme")
    roll_back(stored, "acme", newest, by="a test", reason="a test", is_forced=True)
    assert roll_back(stored, "acme", oldest, by="a test", reason="a test").previous == newest


def test_a_newer_format_is_refused_with_its_number(stored: Registry) -> None:
    path = stored.root / "acme" / "active.json"
    path.write_bytes(msgspec.json.encode(msgspec.json.decode(path.read_bytes()) | {"format": FORMAT + 1}))
    with pytest.raises(
        UnsupportedFormat, match=f"has format {FORMAT + 1}, but this release reads only up to format {FORMAT}"
    ):
        stored.active("acme")


def test_a_file_that_stands_beside_a_judgement_is_verified(stored: Registry) -> None:
    """It is stored with the judgement and its hash, and any other content is refused."""
    version, _ = stored.versions("acme")
    older = stored.judgement("acme", stored.active("acme").version)
    assert older is not None
    judgement = stored.record_judgement("acme", version, older, {"report.html": b"<p>a report</p>"})

    assert stored.judgement("acme", version) == judgement
    assert stored.judged_file("acme", version, "report.html") == b"<p>a report</p>"
    (stored.root / "acme" / version / "report.html").write_bytes(b"<p>another</p>")
    with pytest.raises(Damaged, match=r"report\.html is damaged: its SHA-256"):
        stored.judged_file("acme", version, "report.html")
