"""Every error that a person or a caller can meet, grouped by what they can do about it.

LeadscoreError
├── InvalidInput            change the request
│   ├── InvalidId           an org id or a version id that is not one
│   └── InvalidFeatures     features that break the contract; carries every fault
├── InvalidSettings         change the environment
├── NotFound                ask for something that exists
│   ├── NoActiveModel       the org has no active version
│   ├── VersionNotFound     the org has no such version
│   ├── NotKept             the version has no such file: an earlier release made it
│   ├── NotMaterialized     the asset was never made for the org
│   └── RunNotFound         there is no such training run
├── Conflict                look at the present state, then decide again
│   ├── NotActivatable      the version was held, refused or never judged
│   ├── ActiveVersionMoved  another version is active than the caller believed
│   ├── AlreadyJudged       a version's evaluation is written once
│   └── AlreadyTraining     a run of the org is queued or running
├── TooManyTrainings        ask again later
├── ModelUnavailable        go back to another version, or train again
│   └── Damaged             the stored files are not what was written
│       └── UnsupportedFormat  written by a newer release
├── RegistryUnavailable     the registry's folder cannot be written
├── RegistryBusy            another change of the org's versions is under way; ask again later
├── DatabaseUnavailable     PostgreSQL cannot be reached, refuses us, or takes too long
├── DagsterUnavailable      Dagster cannot be reached, or does not answer as expected
├── SourceMismatch          the CRM's tables or the records' SQL do not fit the contract
├── InvalidCrmData          correct the files or the folder that CRM_DATA names
└── CannotRun               this machine lacks something: a port, a tool, a right

A class says everything about its error, so a new error is one class here:

`code`         names it for programs: in a failed run's metadata, in logs and, with a `meaning`, over HTTP.
`meaning`      what callers of the API read about the code. An error without one is answered as the base that has one;
               what callers never cause is so answered as `internal_error`, without its text.
`status`       the HTTP status of the answer.
`in_training`  what callers read when a training run fails by it, since its own text may show paths, SQL and hosts.
               A base's words hold for its subclasses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar


class LeadscoreError(Exception):
    """Base of them all, never raised itself. `code` is for programs, the text for people."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    meaning: ClassVar[str] = "A defect of this server; it is logged under the request id."
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
    """The request has to change before it can be answered."""

    code = "invalid_input"
    in_training = "the org's data cannot be used"


class InvalidId(InvalidInput):
    """An org id or a version id that breaks the rule for ids."""

    code = "invalid_id"
    status = 400
    meaning = "An org id, a version id or a run id breaks the rule for ids."


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
    in_training = "a setting of the training is wrong"


class NotFound(LeadscoreError):
    """The thing asked for does not exist, as far as this caller may know."""

    code = "not_found"
    status = 404
    meaning = "There is no such route."  # an error is always of one of the kinds below


class NoActiveModel(NotFound):
    """The org has no active version: it was never trained, or nothing passed the gate yet."""

    code = "no_active_model"
    meaning = "The org has no active model: it was never trained, or nothing passed the gate yet."


class VersionNotFound(NotFound):
    """The org has no version of that id."""

    code = "version_not_found"
    meaning = "The org has no such version."
    in_training = "the version to judge is gone"


class NotKept(NotFound):
    """The version has no such file, because an earlier release made or judged it; train again for one that has."""

    code = "not_kept"


class NotMaterialized(NotFound):
    """The asset was never made for the org; the text names the asset to materialize."""

    code = "not_materialized"
    in_training = "an earlier step was never made for the org"


class RunNotFound(NotFound):
    """Dagster knows no such training run."""

    code = "run_not_found"
    meaning = "There is no such training run."


class Conflict(LeadscoreError):
    """The present state forbids it."""

    code = "conflict"
    status = 409
    meaning = "The present state forbids it."


class NotActivatable(Conflict):
    """The version was held, refused or never judged; activating it takes an explicit act."""

    code = "not_activatable"
    meaning = "The version was held, refused or never judged."
    in_training = "the version may not become active"


class ActiveVersionMoved(Conflict):
    """Another version is active than the caller expected: another activation came first."""

    code = "active_version_moved"
    status = 412
    meaning = "Another version is active than the caller expected."
    in_training = "another version became active in the meantime"


class AlreadyJudged(Conflict):
    """The version has its evaluation already; an evaluation is written once."""

    code = "already_judged"
    in_training = "the version was judged before"


class AlreadyTraining(Conflict):
    """A run of the org is queued or running; `is_followable` when it is a training, so that its outcome can be read."""

    code = "already_training"
    meaning = "A training or another run of the org is queued or running."

    def __init__(self, run_id: str | None, *, is_followable: bool) -> None:
        super().__init__("a training or another run of this org is queued or running; wait for it, then decide again")
        self.run_id, self.is_followable = run_id, is_followable


class TooManyTrainings(LeadscoreError):
    """As many training requests are under way, or as many trainings wait in Dagster, as the server takes."""

    code = "too_many_trainings"
    status = 429
    meaning = "As many trainings as this server takes are under way, or wait for their turn."

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
    in_training = "stored files of the org are not what was written"


class UnsupportedFormat(Damaged):
    """The files were written in a format that this release does not read."""

    code = "unsupported_format"
    in_training = "stored files of the org are in a format that this release does not read"


class RegistryUnavailable(LeadscoreError):
    """The registry's folder cannot be written: read-only, full, or gone."""

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


class DatabaseUnavailable(LeadscoreError):
    """PostgreSQL cannot be reached, refuses the user, or takes too long; the text says where and never the password."""

    code = "database_unavailable"
    status = 503
    meaning = "The CRM's database cannot be used, or is not set up."
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
    in_training = "what was read from the CRM does not fit what a training needs"


class InvalidCrmData(LeadscoreError):
    """A folder of CRM tables cannot be loaded; the text names the file, the line and what was expected."""

    code = "invalid_crm_data"


class CannotRun(LeadscoreError):
    """A part of the system cannot run on this machine; the text says what it lacks and how to get it."""

    code = "cannot_run"
