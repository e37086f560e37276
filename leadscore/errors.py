"""Every error that a person or a caller can meet, grouped by what they can do about it.

LeadscoreError
├── InvalidInput            change the request
│   ├── InvalidId           an org id or a version id is not well-formed
│   ├── InvalidFeatures     features break the contract; carries every fault
│   ├── InvalidToken        a token cannot be made or revoked as requested
│   └── NotInFolder         the registry is in an object store, where this cannot be done
├── InvalidSettings         change the environment
├── NotFound                ask for something that exists
│   ├── NoActiveModel       the org has no active version
│   ├── VersionNotFound     the org has no such version
│   ├── NotKept             the version has no such file: an earlier release made it
│   ├── NotMaterialized     the asset was never materialized for the org
│   │   └── RecordsRemoved  its rows were stored long ago, and were removed
│   ├── RunNotFound         no training run has this id
│   └── OrgNotFound         neither the registry nor our tables know the org
├── Conflict                look at the present state, then decide again
│   ├── NotActivatable      the version was held, refused or never judged
│   ├── VersionRemoved      the version's files were removed, because it was old
│   ├── ActiveVersionMoved  the active version is not the one that the caller expected
│   │   └── Overtaken       another writer was quicker, in an object store; who meets it decides again
│   ├── AlreadyJudged       the version already has its evaluation
│   ├── AlreadyTraining     a run of the org is queued or running
│   ├── ClaimLost           another worker may train the org by now
│   ├── AnotherRegistry     the database's control plane uses another registry than this process
│   ├── OrgChanged          the org's id may have been given to another customer
│   └── OrgHasVersions      an org cannot be renamed to an id that has versions
├── TooManyTrainings        ask again later
├── ServerBusy              ask again later
├── ModelUnavailable        go back to another version, or train again
│   └── Damaged             stored files are missing or do not match their hashes
│       └── UnsupportedFormat  written by a newer release
├── RegistryUnavailable     the registry's folder cannot be written, or its object store does not answer
├── RegistryBusy            another change of the org's versions is under way; ask again later
├── TokensUnavailable       the file of tokens cannot be read or written
├── DatabaseUnavailable     PostgreSQL cannot be reached, refuses the user, or takes too long
├── DagsterUnavailable      Dagster cannot be reached, or does not answer as expected
├── SourceMismatch          the CRM's tables or the records' SQL do not fit the contract
├── InvalidCrmData          correct the files or the folder that CRM_DATA names
└── CannotRun               this machine lacks something: a port, a tool, a right
    └── ControlPlaneHeld    another control plane has the database

Each class describes its error in full, so adding an error means adding one class here:

`code`         identifies the error for programs: in a failed run's metadata, in logs and, with a `meaning`, over HTTP.
`meaning`      explains the code to users of the API. An error without a meaning is answered as its nearest base class
               that has one. Errors that callers cannot cause are therefore answered as `internal_error`, without text.
`status`       is the HTTP status of the answer.
`in_training`  explains to users of the API why a training run failed, because the error's own text may show paths, SQL
               and hosts. Subclasses inherit it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar


class LeadscoreError(Exception):
    """Base of all errors; never raised itself. `code` is for programs, the text for people."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    meaning: ClassVar[str] = "The server has a defect. Its log has the details under the request's id."
    in_training: ClassVar[str | None] = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    @classmethod
    def answered_as(cls) -> type[LeadscoreError]:
        """Return the class whose code, status and meaning answer this error over HTTP: the nearest with a meaning."""
        return next(kind for kind in cls.__mro__ if "meaning" in vars(kind))


def all_errors(base: type[LeadscoreError] = LeadscoreError) -> Iterator[type[LeadscoreError]]:
    """Yield `base` and every class that derives from it, in the order of the tree."""
    yield base
    for derived in base.__subclasses__():
        yield from all_errors(derived)


class InvalidInput(LeadscoreError):
    """The caller must change the request."""

    code = "invalid_input"
    in_training = "the org's data cannot be used"


class InvalidId(InvalidInput):
    """An org id or a version id that breaks the rule for ids."""

    code = "invalid_id"
    status = 400
    meaning = "An org id, a version id or a run id is not well-formed."


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a request: where (a JSON pointer), a code, and what was expected."""

    pointer: str
    code: str
    detail: str


class InvalidFeatures(InvalidInput):
    """Features that break the contract. `faults` holds all of them, not just the first."""

    code = "invalid_features"
    status = 422
    meaning = "Features are missing, unknown, of the wrong type, not finite or out of range."

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults))
        self.faults = faults


class InvalidSettings(LeadscoreError):
    """A setting has a value that breaks its rule; the text names the setting, the rule and the remedy."""

    code = "invalid_settings"
    in_training = "a setting is invalid"


class InvalidToken(InvalidInput):
    """A token cannot be made or revoked as requested; the text says what was expected and never the secret."""

    code = "invalid_token"


class NotInFolder(InvalidInput):
    """What was asked for works on a registry in a folder, and this one is in an object store."""

    code = "not_in_folder"

    def __init__(self, place: str) -> None:
        super().__init__(
            f"MODEL_PATH is {place}, but this works on a registry in a folder alone, so nothing was done;"
            " docs/shared-registry.md says what to do in its place"
        )


class NotFound(LeadscoreError):
    """The requested thing does not exist, or the caller may not know that it exists."""

    code = "not_found"
    status = 404
    meaning = "This route does not exist."  # routes raise one of the subclasses below


class NoActiveModel(NotFound):
    """The org has no active version: it was never trained, or no version has passed the gate yet."""

    code = "no_active_model"
    meaning = "The org has no active model: it was never trained, or no version has passed the gate yet."


class VersionNotFound(NotFound):
    """The org has no version of that id."""

    code = "version_not_found"
    meaning = "The org has no version with this id."
    in_training = "the version to be judged no longer exists"


class NotKept(NotFound):
    """The version lacks the file, because an earlier release made or judged it. A new training stores it."""

    code = "not_kept"


class NotMaterialized(NotFound):
    """The asset was never materialized for the org; the text names the asset to materialize."""

    code = "not_materialized"
    in_training = "an earlier asset was never materialized for the org"


class RecordsRemoved(NotMaterialized):
    """The rows of the asset were stored longer ago than KEEP_RECORDS_DAYS; the text names what to materialize again."""

    code = "records_removed"
    in_training = "the org's stored records were old, and were removed"

    def __init__(self, asset: str, org_id: str) -> None:
        super().__init__(
            f"the rows of {asset} of org {org_id} were stored longer ago than KEEP_RECORDS_DAYS, and were removed."
            " Materialize conversion_records and the assets after it again."
        )


class RunNotFound(NotFound):
    """Dagster has no training run with this id."""

    code = "run_not_found"
    meaning = "No training run has this id."


class OrgNotFound(NotFound):
    """Neither the registry nor our tables know the org that a command names."""

    code = "org_not_found"

    def __init__(self, org_id: str) -> None:
        super().__init__(
            f"org {org_id} has neither versions nor rows here; name an org that was trained, and check MODEL_PATH and"
            " the DB_* settings"
        )


class Conflict(LeadscoreError):
    """The request conflicts with the present state."""

    code = "conflict"
    status = 409
    meaning = "The request conflicts with the present state."


class NotActivatable(Conflict):
    """The version was held, refused or never judged; only a forced rollback activates it."""

    code = "not_activatable"
    meaning = "The gate held or refused the version, or never judged it."
    in_training = "the version may not be activated"


class VersionRemoved(Conflict):
    """The version was old, so its files were removed; its manifest and its judgement are still there."""

    code = "version_removed"
    meaning = "The version was old, so what scores leads was removed; its figures can still be read."
    in_training = "the version is old, and its files were removed"

    def __init__(self, version: str) -> None:
        super().__init__(
            f"version {version} was old, and its files were removed, so it can neither score leads nor be rebuilt;"
            " choose a version that the list shows without `removed_at`, or train again"
        )


class ActiveVersionMoved(Conflict):
    """The active version is not the one that the caller expected: another activation came first."""

    code = "active_version_moved"
    status = 412
    meaning = "The active version is not the one that the caller expected."
    in_training = "another version became active in the meantime"


class Overtaken(ActiveVersionMoved):
    """Another writer replaced a file of an object store after this one had seen it."""

    code = "overtaken"

    def __init__(self, key: str) -> None:
        super().__init__(f"another change was quicker: {key} was replaced meanwhile; look at it, then decide again")


class AlreadyJudged(Conflict):
    """The version already has its evaluation, which is written only once."""

    code = "already_judged"
    in_training = "the version was already judged"


class AlreadyTraining(Conflict):
    """A run of the org is queued or running; `is_followable` when it is a training, so that its outcome can be read."""

    code = "already_training"
    meaning = "A training or another run of the org is queued or running."

    def __init__(self, run_id: str | None, *, is_followable: bool) -> None:
        super().__init__("a training or another run of this org is queued or running; wait for it, then decide again")
        self.run_id, self.is_followable = run_id, is_followable


class ClaimLost(Conflict):
    """A worker's claim on an org's training has expired: another, the `holder`, may train the org by now."""

    code = "claim_lost"
    in_training = "the training was interrupted for so long that another one may have begun"

    def __init__(self, org_id: str, holder: str | None) -> None:
        by_now = f"; {holder} trains it by now" if holder else ""
        super().__init__(
            f"this worker's claim on the training of org {org_id} has expired{by_now}. It publishes and activates"
            " nothing; train the org again if no other training does"
        )


class AnotherRegistry(Conflict):
    """The control plane of the CRM's database uses another registry than this process."""

    code = "another_registry"
    meaning = "The server's model registry is not the one that the pipeline on the CRM's database uses."

    def __init__(self) -> None:
        super().__init__(
            "this server's registry is not the one that trainings on the CRM's database publish to; set MODEL_PATH to"
            " that one, and start the server again"
        )


class OrgChanged(Conflict):
    """The leads by which the org was known are gone and others are there: its id may be another customer's now."""

    code = "org_changed"
    meaning = "The org id may have been given to another customer; an operator must decide that first."
    in_training = "the org's id may belong to another customer now, which an operator must decide first"

    def __init__(self, org_id: str) -> None:
        accept = f"`python -m leadscore_assets.commands.accept_org --org {org_id}`"
        super().__init__(
            f"the CRM no longer has the leads by which org {org_id} was known, and has others under its id; one of the"
            f" former was expected. Run {accept} with `--same` when it is the same customer, with `--new` when the id"
            " was given to another one"
        )


class OrgHasVersions(Conflict):
    """An org cannot take an id whose folder holds versions or a history."""

    code = "org_has_versions"

    def __init__(self, org_id: str) -> None:
        super().__init__(
            f"org {org_id} has versions or a history already, and an org can only be renamed to an id without any; run"
            f" `python -m leadscore_assets.commands.accept_org --org {org_id} --new --yes`, which sets them aside, and"
            " try again"
        )


class TooManyTrainings(LeadscoreError):
    """The server already handles as many training requests, or Dagster queues as many trainings, as it may."""

    code = "too_many_trainings"
    status = 429
    meaning = "The server already handles or queues as many trainings as it may. Try again later."

    def __init__(self) -> None:
        super().__init__(self.meaning)


class ServerBusy(LeadscoreError):
    """As many large bodies wait as the server takes, or one has waited as long as it may."""

    code = "server_busy"
    status = 503
    meaning = "The server has as many large batches to score as it takes; the header Retry-After says when to retry."

    def __init__(self) -> None:
        super().__init__(self.meaning)


class ModelUnavailable(LeadscoreError):
    """A version cannot be loaded and verified, for one of the reasons below."""

    code = "model_unavailable"
    status = 503
    meaning = "The org's active version cannot be loaded and verified."


class Damaged(ModelUnavailable):
    """A stored file is missing, unreadable, or does not have the hash that was recorded for it."""

    code = "damaged"
    in_training = "stored files of the org are missing or damaged"


class UnsupportedFormat(Damaged):
    """The files were written in a format that this release does not read."""

    code = "unsupported_format"
    in_training = "stored files of the org are in a format that this release cannot read"


class RegistryUnavailable(LeadscoreError):
    """The registry's folder cannot be written: read-only, full, or gone; or its object store does not answer."""

    code = "registry_unavailable"
    status = 503
    meaning = "The model registry cannot be read or written."
    in_training = "the model registry could not be used"


class RegistryBusy(LeadscoreError):
    """Another process or thread holds the lock of the org's folder, and did not let go of it in time."""

    code = "registry_busy"
    status = 503
    meaning = "Another change of the org's versions is under way."
    in_training = "another change of the org's versions took too long"


class TokensUnavailable(LeadscoreError):
    """The file of tokens is damaged, gone or out of reach; every request is refused."""

    code = "tokens_unavailable"
    status = 503
    meaning = "The file of tokens cannot be read; tokens cannot be checked."


class DatabaseUnavailable(LeadscoreError):
    """PostgreSQL cannot be reached, refuses the user, or takes too long; the text says where and never the password."""

    code = "database_unavailable"
    status = 503
    meaning = "The CRM's database cannot be reached, is too slow, or is not set up."
    in_training = "the CRM's database could not be used"


class DagsterUnavailable(LeadscoreError):
    """Dagster's webserver cannot be reached, or does not answer as expected; `details` are for the log alone."""

    code = "dagster_unavailable"
    status = 503
    meaning = "Dagster cannot be reached, or does not answer as expected."

    def __init__(self, details: str) -> None:
        super().__init__(self.meaning)
        self.details = details


class SourceMismatch(LeadscoreError):
    """What the database returned does not fit the contract; the text names every column that differs."""

    code = "source_mismatch"
    in_training = "the CRM's data does not have the form that a training needs"


class InvalidCrmData(LeadscoreError):
    """A folder of CRM tables cannot be loaded; the text names the file, the line and what was expected."""

    code = "invalid_crm_data"


class CannotRun(LeadscoreError):
    """A part of the system cannot run on this machine; the text says what it lacks and how to get it."""

    code = "cannot_run"


class ControlPlaneHeld(CannotRun):
    """Another control plane has the database; the text says which, since when, and with which registry."""

    code = "control_plane_held"
    in_training = "another installation keeps the models of this database"
