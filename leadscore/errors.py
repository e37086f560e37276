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
│   └── NotMaterialized     the asset was never made for the org
├── Conflict                look at the present state, then decide again
│   ├── NotActivatable      the version was held, refused or never judged
│   ├── ActiveVersionMoved  another version is active than the caller believed
│   └── AlreadyJudged       a version's evaluation is written once
├── Damaged                 the stored files are not what was written
│   └── UnsupportedFormat   written by a newer release
├── RegistryUnavailable     the registry's folder cannot be written
├── DatabaseUnavailable     PostgreSQL cannot be reached, refuses us, or takes too long
├── SourceMismatch          the CRM's tables or the records' SQL do not fit the contract
├── InvalidCrmData          correct the files or the folder that CRM_DATA names
└── CannotRun               this machine lacks something: a port, a tool, a right
"""

from __future__ import annotations

from dataclasses import dataclass


class LeadscoreError(Exception):
    """Base of them all, never raised itself. `code` is for programs, the text for people."""

    code = "error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidInput(LeadscoreError):
    """The request has to change before it can be answered."""

    code = "invalid_input"


class InvalidId(InvalidInput):
    """An org id or a version id that breaks the rule for ids."""

    code = "invalid_id"


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a request: where (a JSON pointer), a code, and what was expected."""

    pointer: str
    code: str
    detail: str


class InvalidFeatures(InvalidInput):
    """Features that break the contract. `faults` holds all of them, not just the first."""

    code = "invalid_features"

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults))
        self.faults = faults


class InvalidSettings(LeadscoreError):
    """A setting has a value that breaks its rule; the text names the setting, the rule and the remedy."""

    code = "invalid_settings"


class NotFound(LeadscoreError):
    """The thing asked for does not exist, as far as this caller may know."""

    code = "not_found"


class NoActiveModel(NotFound):
    """The org has no active version: it was never trained, or nothing passed the gate yet."""

    code = "no_active_model"


class VersionNotFound(NotFound):
    """The org has no version of that id."""

    code = "version_not_found"


class NotKept(NotFound):
    """The version has no such file, because an earlier release made or judged it; train again for one that has."""

    code = "not_kept"


class NotMaterialized(NotFound):
    """The asset was never made for the org; the text names the asset to materialize."""

    code = "not_materialized"


class Conflict(LeadscoreError):
    """The present state forbids it."""

    code = "conflict"


class NotActivatable(Conflict):
    """The version was held, refused or never judged; activating it takes an explicit act."""

    code = "not_activatable"


class ActiveVersionMoved(Conflict):
    """Another version is active than the caller expected: somebody else was quicker."""

    code = "active_version_moved"


class AlreadyJudged(Conflict):
    """The version has its evaluation already; an evaluation is written once."""

    code = "already_judged"


class Damaged(LeadscoreError):
    """A stored file is missing, unreadable, or does not have the hash that was recorded for it."""

    code = "damaged"


class UnsupportedFormat(Damaged):
    """The files were written in a format that this release does not read."""

    code = "unsupported_format"


class RegistryUnavailable(LeadscoreError):
    """The registry's folder cannot be written: read-only, full, or gone."""

    code = "registry_unavailable"


class DatabaseUnavailable(LeadscoreError):
    """PostgreSQL cannot be reached, refuses the user, or takes too long; the text says where and never the password."""

    code = "database_unavailable"


class SourceMismatch(LeadscoreError):
    """What the database returned does not fit the contract; the text names every column that differs."""

    code = "source_mismatch"


class InvalidCrmData(LeadscoreError):
    """A folder of CRM tables cannot be loaded; the text names the file, the line and what was expected."""

    code = "invalid_crm_data"


class CannotRun(LeadscoreError):
    """A part of the system cannot run on this machine; the text says what it lacks and how to get it."""

    code = "cannot_run"
