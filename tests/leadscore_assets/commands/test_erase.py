"""The command erases what it is told, says what went from where, and refuses what it must not do."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from leadscore.pooling import POOLED
from leadscore.registry.safetensors import decode_arrays
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.commands import erase as command
from leadscore_assets.dataset import ORG_COLUMN
from leadscore_assets.source.control_plane import held
from leadscore_assets.source.database import connect
from leadscore_assets.source.identities import is_changed, remember
from leadscore_assets.source.tables import infos, load
from leadscore_assets.training.snapshot import SNAPSHOT_FILE, rows_from
from tests.object_store import FaultyStore, contents
from tests.serving.conftest import Shelf

Capture = pytest.CaptureFixture[str]
ELSEWHERE = list(command.ELSEWHERE)


class Terminal(io.StringIO):
    """Standard input at which a person sits."""

    def isatty(self) -> bool:
        return True


def run(settings: Settings, capsys: Capture, *arguments: str) -> tuple[int, list[str], str]:
    """Run the command; return its exit code, the lines that it said, and its errors."""
    code = command.main(arguments, settings)
    said = capsys.readouterr()
    return code, said.out.splitlines(), said.err


def leads_of(settings: Settings, org_id: str, asset: str = "conversion_records") -> list[str]:
    with connect(settings) as connection:
        rows, _ = load(connection, asset, org_id)
    assert rows is not None
    return list(rows["lead_id"].unique())


def delete_from_crm(settings: Settings, condition: str) -> None:
    with connect(settings) as connection:
        connection.execute(f"DELETE FROM dossier WHERE {condition}".encode())


@pytest.fixture
def small(train: Any, crm_settings: Settings) -> Settings:
    """Give settings of a CRM of which we hold 37 records of `small`."""
    for asset in ("conversion_records", "lead_features"):
        train("small", only=[asset])
    return crm_settings


def test_a_lead_is_erased_table_by_table(small: Settings, capsys: Capture) -> None:
    lead, *others = leads_of(small, "small")
    rows, is_known = count_rows(small, lead), is_remembered(small, lead)
    delete_from_crm(small, f"id = {lead}")
    assert run(small, capsys, "--org", "small", "--lead", lead) == (
        0,
        [
            f"removed {rows} rows of 1 lead from conversion_records",
            f"removed {rows} rows of 1 lead from lead_features",
            *(["removed 1 row of 1 lead from org_identities"] if is_known else []),
            *ELSEWHERE,
        ],
        "",
    )
    assert leads_of(small, "small") == leads_of(small, "small", "lead_features") == others


def count_rows(settings: Settings, lead: str) -> int:
    query = "SELECT count(*) FROM leadscore.lead_features WHERE lead_id = %s"
    with connect(settings) as connection:
        return int(str((connection.execute(query, [lead]).fetchone() or (0,))[0]))


def is_remembered(settings: Settings, lead: str) -> bool:
    """Return whether the org is known by the lead."""
    query = "SELECT FROM leadscore.org_identities WHERE lead_id = %s"
    with connect(settings) as connection:
        return connection.execute(query, [lead]).fetchone() is not None


def test_a_lead_that_the_crm_still_has_is_said_to_come_back(small: Settings, capsys: Capture) -> None:
    first, second, *_ = leads_of(small, "small")
    code, said, _ = run(small, capsys, "--org", "small", "--lead", first, second, "--lead", first)
    assert (code, said[-1]) == (
        0,
        "The CRM still has 2 leads of small: the next training and scoring store again what they find there. Delete it"
        " there, too.",
    )


def test_what_is_not_held_is_said_so_and_is_no_failure(small: Settings, capsys: Capture) -> None:
    for _ in range(2):
        code, said, errors = run(small, capsys, "--org", "west", "--lead", "1", "2")
        assert (code, said[0], errors) == (0, "nothing held of 2 leads of west in our tables", "")
    assert run(small, capsys, "--org", "west", "--models", "--yes")[1][:2] == [
        "nothing held of west in our tables",
        "nothing held of west in the registry",
    ]


def test_an_org_is_erased_and_its_versions_stay_unless_they_are_named(
    train: Any, crm_settings: Settings, registry: Registry, capsys: Capture
) -> None:
    train("sound")
    delete_from_crm(crm_settings, "org_id = 'sound'")
    code, said, _ = run(crm_settings, capsys, "--org", "sound")
    assert code == 0
    assert [line.split(" from ")[-1] for line in said[:3]] == [
        "conversion_records",
        "lead_features",
        "materializations",
    ]
    assert said[2:] == [
        "removed 4 rows from materializations",
        "removed 1 row from ended_training",
        "kept 1 version in the registry, without any lead's id; --models removes what is there",
        *ELSEWHERE,
        command.OF_AN_ORG,
    ]
    assert registry.active("sound") is not None
    with connect(crm_settings) as connection:
        assert infos(connection, "trained_model") == {}

    code, said, _ = run(crm_settings, capsys, "--org", "sound", "--models", "--yes")

    assert (code, said) == (
        0,
        [
            "removed 1 row from org_identities",
            "removed 1 version, the reports, the pointer and the history from the registry",
            *ELSEWHERE,
            command.OF_AN_ORG,
            *command.OF_MODELS,
        ],
    )
    assert (registry.orgs(), registry.active("sound")) == ([], None)


@pytest.mark.parametrize(("answer", "is_done"), [("small", True), ("yes", False), ("", False)])
def test_models_are_removed_when_a_person_enters_the_orgs_id(
    small: Settings, capsys: Capture, monkeypatch: pytest.MonkeyPatch, answer: str, is_done: bool
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))
    code, said, errors = run(small, capsys, "--org", "small", "--models")
    assert "Remove 0 versions of small, with reports and history? This cannot be undone." in said[0]
    assert (code, "nothing was erased" in errors) == ((0, False) if is_done else (1, True))
    with connect(small) as connection:
        assert ("small" in infos(connection, "lead_features")) is not is_done


@pytest.mark.parametrize("by_lead", [True, False])
def test_who_gets_the_id_of_an_erased_org_next_is_noticed_while_its_versions_stay(
    train: Any, crm_settings: Settings, capsys: Capture, by_lead: bool
) -> None:
    train("sound")
    with connect(crm_settings) as connection:
        remember(connection, ["sound"])
        known = [lead for (lead,) in connection.execute("SELECT lead_id FROM leadscore.org_identities")]
        delete_from_crm(crm_settings, "org_id = 'sound'")
        assert run(crm_settings, capsys, "--org", "sound", *(["--lead", *known] if by_lead else []))[0] == 0
        connection.execute(
            "INSERT INTO dossier (org_id, status, created_at, updated_at) VALUES ('sound', 'NEW', now(), now())"
        )
        assert is_changed(connection, "sound")


def test_an_erasure_does_not_accept_the_new_customer_of_an_orgs_id(
    train: Any, crm_settings: Settings, capsys: Capture
) -> None:
    train("sound")
    with connect(crm_settings) as connection:
        remember(connection, ["sound"])
        connection.execute("UPDATE dossier SET created_at = created_at + interval '1 s' WHERE org_id = 'sound'")
        assert run(crm_settings, capsys, "--org", "sound")[0] == 0
        assert is_changed(connection, "sound")


def test_without_a_person_models_need_the_flag(small: Settings, capsys: Capture, monkeypatch: Any) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    code, said, errors = run(small, capsys, "--org", "small", "--models")
    assert (code, said) == (1, [])
    assert errors.strip().endswith(
        "To remove 0 versions of small, with reports and history, repeat the command with --yes"
    )
    assert len(leads_of(small, "small")) == 37


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--org", "small", "--lead", "1", "--models"), "leave out --lead, or --models"),
        (("--org", "../small"), "an org id must have 1 to 80 characters"),
    ],
)
def test_what_makes_no_sense_is_refused(
    small: Settings, capsys: Capture, arguments: tuple[str, ...], error: str
) -> None:
    code, said, errors = run(small, capsys, *arguments)
    assert (code, said, error in errors) == (1, [], True)
    assert len(leads_of(small, "small")) == 37


@pytest.mark.parametrize("running", ["small", POOLED])
def test_while_a_run_may_store_it_again_nothing_is_erased(
    small: Settings, capsys: Capture, monkeypatch: pytest.MonkeyPatch, running: str
) -> None:
    monkeypatch.setattr(command, "runs_under_way", lambda _, org_ids: ["run-1"] if running in org_ids else [])
    code, said, errors = run(small, capsys, "--org", "small")
    assert (code, said) == (1, [])
    assert "a run of small or of the pooled model is under way (run-1)" in errors
    assert len(leads_of(small, "small")) == 37


def test_models_in_another_registry_than_the_control_planes_are_left_alone(
    small: Settings, capsys: Capture, tmp_path: Path
) -> None:
    other = Settings(**{**vars(small), "model_path": tmp_path / "other"})
    with held(other):
        code, said, errors = run(small, capsys, "--org", "small", "--models", "--yes")
    assert (code, said) == (1, [])
    assert "has a control plane with another registry" in errors
    assert len(leads_of(small, "small")) == 37


def test_the_rows_of_the_pooled_model_go_with_their_org(train: Any, pooled_settings: Settings, capsys: Capture) -> None:
    train(POOLED, settings=pooled_settings, only=["conversion_records"])
    count = len(leads_of(pooled_settings, POOLED))
    assert "of 37 leads from conversion_records" in run(pooled_settings, capsys, "--org", "small")[1][0]
    assert len(leads_of(pooled_settings, POOLED)) == count - 37


def test_an_erasure_is_done_also_where_the_crm_cannot_be_seen(small: Settings, capsys: Capture) -> None:
    with connect(small) as connection:
        connection.execute("ALTER TABLE dossier RENAME TO away")
    code, said, _ = run(small, capsys, "--org", "small")
    assert (code, said[0].startswith("removed ")) == (0, True)
    assert said[-1].startswith("Whether the CRM still has it could not be seen: PostgreSQL refused the query")


def test_a_database_that_is_away_is_one_clear_line(small: Settings, capsys: Capture, free_port: Any) -> None:
    away = Settings(db_host="127.0.0.1", db_port=free_port(), db_password="open-sesame")
    code, said, errors = run(away, capsys, "--org", "small")
    assert (code, said, len(errors.splitlines())) == (1, [], 1)
    assert "open-sesame" not in errors


def test_models_are_erased_from_an_object_store(small: Settings, capsys: Capture, object_store: FaultyStore) -> None:
    settings = replace(small, model_path=object_store.new_url())
    shelf = Shelf(Registry(settings.model_path))
    shelf.activated("small")
    shelf.activated("sound")
    delete_from_crm(small, "org_id = 'small'")
    code, said, errors = run(settings, capsys, "--org", "small", "--models", "--yes")
    assert (code, errors) == (0, "")
    assert "removed 1 version, the reports, the pointer and the history from the registry" in said
    assert not [key for key in contents(str(settings.model_path)) if key.startswith("small/")]
    assert shelf.registry.orgs() == ["sound"]


def test_an_erased_orgs_leads_teach_the_next_pooled_model_no_more(
    train: Any, pooled_settings: Settings, capsys: Capture
) -> None:
    registry = Registry(pooled_settings.model_path)
    train(POOLED, settings=pooled_settings)
    [before] = registry.versions(POOLED)
    delete_from_crm(pooled_settings, "org_id = 'small'")
    assert run(pooled_settings, capsys, "--org", "small", "--yes")[0] == 0

    train(POOLED, settings=pooled_settings)

    after, _ = registry.versions(POOLED)
    snapshots = [
        rows_from(decode_arrays(registry.file(POOLED, v, SNAPSHOT_FILE), SNAPSHOT_FILE)) for v in (before, after)
    ]
    was, now = (set(rows[ORG_COLUMN]) for rows in snapshots)
    assert was - now == {"small"}
    assert set(registry.load(POOLED, after).base_values.orgs) == now
