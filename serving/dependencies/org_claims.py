"""The claim on an org in the CRM's database, while a training of it is launched: the run then goes on with it.

A run takes the claim itself where the database could not be asked, so trainings are launched meanwhile, too.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from leadscore.errors import AlreadyTraining, DatabaseUnavailable
from leadscore.training_claims import HAND_OVER, HOLDERS, RELEASE, TAKE
from serving.dependencies.crm_database import CrmDatabase

TASK = "claim an org for a training"
OF_A_REQUEST = "request "

_log = logging.getLogger(__name__)


class _Fence(msgspec.Struct, frozen=True):
    fence: int


class _Holder(msgspec.Struct, frozen=True):
    holder: str


class HeldClaim:
    """The claim that a request holds, or that nobody could be asked for."""

    def __init__(self, database: CrmDatabase, org_id: str, request_id: str) -> None:
        self._database = database
        self._named = {"org_id": org_id, "holder": f"{OF_A_REQUEST}{request_id}"}

    def take(self) -> bool:
        """Take the claim, and return whether it is held now. Raises AlreadyTraining, DatabaseUnavailable."""
        if self._database.rows(TAKE, self._named, _Fence, task=TASK, is_writing=True):
            return True
        org_ids = [self._named["org_id"]]
        holders = self._database.rows(HOLDERS, {"org_ids": org_ids}, _Holder, task=TASK)
        run_ids = [found.holder for found in holders if not found.holder.startswith(OF_A_REQUEST)]
        raise AlreadyTraining(next(iter(run_ids), None), is_followable=False)

    def hand_over(self, run_id: str) -> None:
        """Let the run go on with the claim."""
        self._write(HAND_OVER, run_id=run_id)

    def release(self) -> None:
        """Free the claim, unless it was handed over."""
        self._write(RELEASE)

    def _write(self, statement: str, **more: str) -> None:
        try:
            self._database.rows(statement, self._named | more, _Fence, task=TASK, is_writing=True)
        except DatabaseUnavailable as error:
            _log.warning("a claim on an org stays until it expires: %s", error.message)


class OrgClaims:
    """The claims of all orgs."""

    def __init__(self, database: CrmDatabase) -> None:
        self._database = database

    @contextmanager
    def held(self, org_id: str, request_id: str) -> Iterator[HeldClaim]:
        """Hold the claim on the org while the block launches a run. Raises AlreadyTraining while another has it."""
        claim = HeldClaim(self._database, org_id, request_id)
        try:
            claim.take()
        except DatabaseUnavailable as error:
            _log.warning("a training is launched without a claim on its org: %s", error.message)
        try:
            yield claim
        except BaseException:
            claim.release()
            raise
