"""A renamed org keeps its versions, its history and our rows, whatever interrupts the command."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from leadscore.pooling import POOLED
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore.tokens import Tokens
from leadscore_assets.changed_orgs import follow_identities
from leadscore_assets.commands import rebuild
from leadscore_assets.commands import rename_org as command
from leadscore_assets.resources import Crm
from leadscore_assets.source.database import connect
from leadscore_assets.source.tables import infos
from tests.leadscore_assets.run_results import metadata_of
from tests.serving.conftest import Shelf

Run = Callable[..., tuple[int, str]]
LAST_LINE = (
    "Dagster adds the partition west within 60 s once the CRM has its leads; runs and events from before stay under"
    " sound. Links in reports from before name sound."
)


@pytest.fixture
def run(crm_settings: Settings, capsys: pytest.CaptureFixture[str]) -> Run:
    """Give a function that renames `sound` to `west` unless told otherwise; it returns exit code and lines."""

    def run(org_id: str = "sound", new_id: str = "west") -> tuple[int, list[str]]:
        capsys.readouterr()
        code = command.main(["--from", org_id, "--to", new_id], crm_settings)
        captured = capsys.readouterr()
        return code, (captured.out + captured.err).splitlines()

    return run


def rename_in_the_crm(settings: Settings, org_id: str = "sound", new_id: str = "west") -> None:
    with connect(settings) as connection:
        for table in ("annonce", "dossier", "dossier_status_history", "message", "appointment", "lead_score"):
            connection.execute(f"UPDATE {table} SET org_id = %s WHERE org_id = %s", [new_id, org_id])


def changed(settings: Settings) -> list[str]:
    return follow_identities(settings, Crm(settings).orgs())


def test_a_renamed_org_goes_on_with_its_versions_rows_and_history(
    run: Run, train: Any, registry: Registry, crm_settings: Settings, instance: Any
) -> None:
    train("sound")
    changed(crm_settings)
    history = registry.history("sound")
    rename_in_the_crm(crm_settings)
    changed(crm_settings)  # the sensor is quicker, and remembers the new id's leads
    code, lines = run()
    assert code == 0
    assert [re.sub(r"[\d,]+ rows of (con|lead)", r"N rows of \1", line) for line in lines] == [
        "Org sound is now west. Moved: 1 version with its history; in our tables N rows of conversion_records, 1 row"
        " of ended_training, N rows of lead_features, 4 rows of materializations, 2 rows of org_identities.",
        LAST_LINE,
    ]
    assert registry.history("west") == history
    with connect(crm_settings) as connection:
        assert set(infos(connection, "lead_features")) == {"west"}
    assert changed(crm_settings) == []
    instance.add_dynamic_partitions("orgs", ["west"])
    result = train("west")
    assert result.success
    assert metadata_of(result, "active_model")["version"] == history.pointer.version
    newest = registry.versions("west")[0]
    assert registry.judgement("west", newest).champion_version == history.pointer.version
    assert registry.manifest("west", newest).org_id == "west"


def test_a_version_from_before_the_rename_is_rebuilt_byte_for_byte(
    run: Run, version: str, crm_settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """From its rows while the CRM has the leads under the former id, and from the CRM afterwards."""
    run()
    for source in ("the rows kept with the version", "the CRM"):
        assert rebuild.main(["west", version], crm_settings) == rebuild.SAME
        assert f"Version {version} of west, rebuilt from {source}\n" in capsys.readouterr().out
        rename_in_the_crm(crm_settings)


def test_an_org_that_the_crm_gives_its_new_id_with_other_leads_is_noticed(
    run: Run, version: str, crm_settings: Settings
) -> None:
    """The operator meant a rename, and the CRM has another customer there."""
    changed(crm_settings)
    run()
    with connect(crm_settings) as connection:
        connection.execute(
            "INSERT INTO dossier (org_id, status, created_at, updated_at) VALUES ('west', 'NEW', now(), now())"
        )
    assert changed(crm_settings) == ["west"]


@pytest.mark.parametrize("broken", ["rename", "move_rows"])
def test_what_was_interrupted_is_finished_by_another_call(
    broken: str, run: Run, version: str, registry: Registry, crm_settings: Settings
) -> None:
    changed(crm_settings)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, broken, interrupt)
        with pytest.raises(KeyboardInterrupt):
            run()
    code, lines = run()
    assert code == 0
    versions = "1 version with its history" if broken == "rename" else "no version, since they were moved before"
    assert lines[0].startswith(f"Org sound is now west. Moved: {versions}; in our tables ")
    assert len(registry.versions("west")) == 1
    assert run() == (
        0,
        ["Org sound is now west. Moved: no version, since they were moved before; in our tables no rows.", LAST_LINE],
    )


def test_the_pooled_models_rows_and_base_value_follow_the_org(
    run: Run, train: Any, pooled_settings: Settings, registry: Registry
) -> None:
    train(POOLED, settings=pooled_settings)
    rename_in_the_crm(pooled_settings)
    assert run()[0] == 0
    assert registry.org_record(POOLED).lead_ids_since is not None
    with connect(pooled_settings) as connection:
        found: Any = connection.execute("SELECT DISTINCT crm_org_id FROM leadscore.lead_features").fetchall()
    assert {org_id for (org_id,) in found} == {"west", "small", "one-class"}
    assert [former.org_id for former in registry.org_record("west").former_ids] == ["sound"]


def test_a_rename_that_is_refused_leaves_the_pooled_model_as_it_was(run: Run, version: str, registry: Registry) -> None:
    shelf = Shelf(registry)
    shelf.pooled()
    shelf.activated("small")
    assert run("sound", "small")[0] == 1
    assert registry.org_record(POOLED).lead_ids_since is None


def test_tokens_that_name_the_org_are_named_and_not_changed(run: Run, version: str, crm_settings: Settings) -> None:
    tokens = Tokens(crm_settings.tokens_path)
    for orgs in (["sound", "small"], ["small"], ["*"]):
        tokens.new(scopes=["score"], orgs=orgs)
    before = tokens.listed()
    assert run()[1][1] == (
        f"Token {before[0].id} is for org sound, and not for west. Make one for west, then run"
        f" `python -m leadscore.tokens revoke {before[0].id}`."
    )
    assert tokens.listed() == before


def test_what_cannot_be_renamed_is_refused_and_nothing_is_moved(
    run: Run, version: str, registry: Registry, crm_settings: Settings
) -> None:
    Shelf(registry).activated("small")
    before = registry.versions("sound")
    for org_id, new_id, says in (
        ("sound", "small", "org small has versions or a history already, and an org can only be renamed to an id"),
        ("sound", "sound", "org sound has this id already; name another id with --to"),
        ("sound", "../x", "an org id must have 1 to 80 characters"),
        ("_pooled", "west", "an org id must have 1 to 80 characters"),
        ("unknown", "west", "org unknown has neither versions nor rows here; name an org that was trained"),
    ):
        code, lines = run(org_id, new_id)
        assert (code, lines[0].startswith(says)) == (1, True), lines
    with connect(crm_settings) as connection:
        connection.execute("CREATE TABLE dagster.runs (id int, run_id text, partition text, status text)")
        connection.execute("INSERT INTO dagster.runs VALUES (1, 'r', 'west', 'QUEUED')")
        assert run()[1][0].startswith("a training or another run of this org is queued or running; wait for it")
    assert registry.versions("sound") == before


def test_a_database_that_is_away_moves_nothing(version: str, crm_settings: Settings, registry: Registry) -> None:
    code = command.main(["--from", "sound", "--to", "west"], replace(crm_settings, db_port=1))
    assert code == 1
    assert registry.versions("sound") == [version]
