"""An operator says whose an org's id is: its version is active again, or it is set aside with all that is known."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from leadscore.errors import NotInFolder
from leadscore.pooling import POOLED
from leadscore.registry.activation import withdraw
from leadscore.registry.moves import FORMER_FOLDER
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore.tokens import Tokens
from leadscore_assets.changed_orgs import follow_identities
from leadscore_assets.commands import accept_org as command
from leadscore_assets.resources import Crm
from leadscore_assets.source.database import Connection, connect
from leadscore_assets.source.tables import store
from tests.leadscore_assets.test_changed_orgs import give_to_another_customer
from tests.object_store import FaultyStore
from tests.serving.conftest import Shelf

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(crm_settings: Settings, capsys: pytest.CaptureFixture[str]) -> Run:
    """Give a function that runs the command, and returns its exit code and what it printed."""

    def run(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        code = command.main(arguments, crm_settings)
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


@pytest.fixture
def connection(crm_settings: Settings) -> Iterator[Connection]:
    with connect(crm_settings) as connection:
        yield connection


@pytest.fixture
def withdrawn(crm_settings: Settings, registry: Registry) -> str:
    """Give the version of the org `sound` that was active until its leads were all others."""
    version = Shelf(registry).activated("sound")
    with_other_leads(crm_settings, registry)
    return version


def with_other_leads(settings: Settings, registry: Registry) -> None:
    changed(settings)
    give_to_another_customer(settings, "sound")
    assert changed(settings) == ["sound"]
    withdraw(registry, "sound", by="a test", reason="other leads")


def changed(settings: Settings) -> list[str]:
    return follow_identities(settings, Crm(settings).orgs())


def test_the_same_customers_version_is_active_again_and_its_leads_are_known(
    run: Run, withdrawn: str, registry: Registry, crm_settings: Settings
) -> None:
    assert run("--org", "sound", "--same") == (
        0,
        f"Org sound is the same customer: version {withdrawn} is active again.\n",
    )
    pointer = registry.active("sound")
    assert (pointer.version, pointer.by) == (withdrawn, "command accept_org")
    assert pointer.reason == "an operator said that it is the same customer"
    assert changed(crm_settings) == []
    assert run("--org", "sound", "--same") == (
        0,
        "Org sound is the same customer: its versions were not withdrawn, and its present leads are remembered.\n",
    )


def test_the_same_customers_leads_may_have_other_ids_than_those_that_taught_the_pooled_model(
    run: Run, withdrawn: str, registry: Registry
) -> None:
    Shelf(registry).pooled()
    assert registry.org_record(POOLED).lead_ids_since is None
    assert run("--org", "sound", "--same")[0] == 0
    since = registry.org_record(POOLED).lead_ids_since
    assert since is not None
    assert since > registry.manifest(POOLED, registry.versions(POOLED)[0]).window.as_of


def test_the_same_customer_may_have_had_no_version_or_one_that_is_damaged(
    run: Run, withdrawn: str, registry: Registry
) -> None:
    withdraw(registry, "small", by="a test", reason="other leads")
    assert run("--org", "small", "--same")[1] == (
        "Org small is the same customer: it had no active version, and can be trained again.\n"
    )
    (registry.root / "sound" / withdrawn / "manifest.json").unlink()
    code, text = run("--org", "sound", "--same")
    assert code == 0
    assert text == (
        f"Org sound is the same customer, but no version is active: version {withdrawn} has no manifest.json; roll back"
        " to another version or train again\n"
    )


def test_another_customers_id_starts_anew_and_nothing_of_the_former_one_is_served_or_compared_with(
    run: Run, registry: Registry, crm_settings: Settings, train: Any
) -> None:
    train("sound")
    withdrawn = registry.active("sound").version
    with_other_leads(crm_settings, registry)
    code, text = run("--org", "sound", "--new")
    [aside] = (registry.root / FORMER_FOLDER).iterdir()
    assert code == 0
    assert re.sub(r"[\d,]+ rows", "N rows", text) == (
        f"Org sound has a new customer. The former one's versions (1) and their history are in {aside}, and are never"
        " served again. Removed from our tables: N rows of conversion_records, 1 row of ended_training,"
        " N rows of lead_features, N rows of materializations, N rows of org_identities.\n"
    )
    assert (aside / withdrawn / "manifest.json").exists()
    assert (registry.versions("sound"), registry.active("sound")) == ([], None)
    assert changed(crm_settings) == []
    assert not train("sound", only=["trained_model"]).success  # the former customer's rows are gone
    assert train("sound").success
    judgement = registry.judgement("sound", registry.active("sound").version)
    assert (judgement.champion_version, judgement.comparison.baseline) == (None, "base rate")
    assert len(registry.history("sound").entries) == 1


def test_tokens_that_name_the_org_are_named(run: Run, withdrawn: str, crm_settings: Settings) -> None:
    tokens = Tokens(crm_settings.tokens_path)
    for orgs in (["sound"], ["small"], ["*"]):
        tokens.new(scopes=["score"], orgs=orgs)
    token, *_ = tokens.listed()
    assert run("--org", "sound", "--new")[1].splitlines()[1:] == [
        f"Token {token.id} is for org sound. If the former customer has it, run"
        f" `python -m leadscore.tokens revoke {token.id}`."
    ]


@pytest.mark.parametrize("broken", ["withdraw", "remove_rows", "remember", "set_aside"])
def test_what_was_interrupted_is_finished_by_another_call_and_serves_nothing_meanwhile(
    broken: str, run: Run, withdrawn: str, registry: Registry, crm_settings: Settings
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, broken, interrupt)
        with pytest.raises(KeyboardInterrupt):
            run("--org", "sound", "--new")
    assert registry.active("sound") is None
    assert run("--org", "sound", "--new")[0] == 0
    assert (registry.versions("sound"), changed(crm_settings)) == ([], [])


def test_an_org_that_has_not_changed_keeps_its_model_unless_that_is_confirmed(
    run: Run, registry: Registry, crm_settings: Settings
) -> None:
    """A mistyped id, or a command repeated from the shell's history, takes nobody's model away."""
    version = Shelf(registry).activated("sound")
    changed(crm_settings)
    code, text = run("--org", "sound", "--new")
    assert (code, text.startswith("org sound has not changed: its versions would be set aside for good")) == (1, True)
    assert registry.active("sound").version == version
    assert run("--org", "sound", "--new", "--yes")[0] == 0
    assert registry.active("sound") is None


def test_accepting_all_leaves_out_an_org_that_was_said_to_have_a_new_customer(
    run: Run, withdrawn: str, registry: Registry
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "set_aside", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run("--org", "sound", "--new")
    code, text = run("--all", "--same")
    assert (code, text.splitlines()) == (
        0,
        [
            "0 orgs were accepted.",
            "Org sound was not: it has a new customer. Run the command with --org sound --new again.",
        ],
    )
    assert registry.active("sound") is None


def test_all_orgs_are_accepted_at_once_after_a_reload(run: Run, registry: Registry, crm_settings: Settings) -> None:
    changed(crm_settings)
    give_to_another_customer(crm_settings, "sound", "small")
    assert changed(crm_settings) == ["small", "sound"]
    withdraw(registry, "one-class", by="a test", reason="other leads")
    code, text = run("--all", "--same")
    assert (code, text.splitlines()) == (
        0,
        [
            "Org one-class is the same customer: it had no active version, and can be trained again.",
            "Org small is the same customer: its versions were not withdrawn, and its present leads are remembered.",
            "Org sound is the same customer: its versions were not withdrawn, and its present leads are remembered.",
            "3 orgs were accepted.",
        ],
    )
    assert changed(crm_settings) == []


def test_an_org_that_runs_or_is_unknown_is_refused(
    run: Run, withdrawn: str, registry: Registry, connection: Connection
) -> None:
    connection.execute("CREATE TABLE dagster.runs (id int, run_id text, partition text, status text)")
    connection.execute("INSERT INTO dagster.runs VALUES (1, 'r', 'sound', 'STARTED')")
    assert run("--org", "sound", "--new") == (
        1,
        "a training or another run of this org is queued or running; wait for it, then decide again\n",
    )
    assert registry.versions("sound") == [withdrawn]
    code, text = run("--org", "unknown", "--same")
    assert (code, text.startswith("org unknown has neither versions nor rows here; name an org")) == (1, True)
    assert run("--org", "../x", "--same")[0] == 1
    assert not (registry.root / "unknown").exists()


def test_an_org_that_has_rows_alone_can_be_accepted(run: Run, connection: Connection) -> None:
    store(connection, "trained_model", "rows-alone", run_id="run", info={})
    assert run("--org", "rows-alone", "--new", "--yes")[0] == 0


@pytest.mark.parametrize("arguments", [["--all", "--new"], ["--same"], ["--org", "a"], ["--org", "a", "--all"]])
def test_nonsense_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(arguments, Settings())
    assert caught.value.code == 2
    assert "usage: python -m leadscore_assets.commands.accept_org" in capsys.readouterr().err


def test_a_new_customer_needs_a_registry_in_a_folder_and_nothing_is_done_without(
    connection: Connection, crm_settings: Settings, object_store: FaultyStore
) -> None:
    shelf = Shelf(Registry(object_store.new_url()))
    version = shelf.activated("sound")
    with pytest.raises(NotInFolder, match="nothing was done"):
        list(command.new(crm_settings, shelf.registry, connection, "sound"))
    assert shelf.registry.active("sound").version == version
