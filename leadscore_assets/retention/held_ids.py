"""Which of our tables hold ids of leads and orgs. Every erasure goes by this list.

A test compares it with the schema `leadscore`, so a new table with ids cannot be forgotten.
"""

from __future__ import annotations

from typing import NamedTuple

from psycopg import sql

from leadscore_assets.dataset import ORG_COLUMN
from leadscore_assets.source.tables import ASSETS_WITH_ROWS


class Held(NamedTuple):
    """A table of ours, the columns that hold an org's id, and whether its column `lead_id` holds those of leads.

    Of several columns, the first that is not null says whose a row is. The ids of leads are the CRM's, unless callers
    sent them: then the CRM may never have had them.
    """

    table: str
    org_columns: tuple[str, ...]
    has_leads: bool
    has_ids_of_callers: bool = False

    @property
    def name(self) -> sql.Identifier:
        """The table's name in SQL."""
        return sql.Identifier("leadscore", self.table)

    @property
    def owner(self) -> sql.Composed:
        """Whose a row is, in SQL."""
        columns = [sql.Identifier(self.table, name) for name in self.org_columns]
        return sql.SQL("coalesce({})").format(sql.SQL(", ").join(columns))


# a row of the pooled model has the pool's id in org_id, and that of the lead's own org in the other column
OF_TRAINING = tuple(Held(asset, (ORG_COLUMN, "org_id"), has_leads=True) for asset in ASSETS_WITH_ROWS)
OF_SCORES = tuple(Held(table, ("org_id",), has_leads=True) for table in ("lead_score", "lead_score_history"))
OF_PROOF = (
    Held("answered_score", ("org_id",), has_leads=True, has_ids_of_callers=True),
    Held("judged_score", ("org_id",), has_leads=True),
    Held("feature_skew", ("org_id",), has_leads=True),
)
OF_LEADS = (*OF_TRAINING, *OF_SCORES, *OF_PROOF)
# an empty lead_id stands for an org whose leads are all gone; while it has any, those that are gone are replaced
OF_IDENTITIES = Held("org_identities", ("org_id",), has_leads=True)
OF_ORGS = (
    *(
        Held(table, ("org_id",), has_leads=False)
        for table in (
            *("materializations", "org_setting", "input_counts", "scoring_run", "org_health"),
            *("live_evidence", "live_performance", "input_evidence", "live_inputs"),
            *("due_training", "training_claim", "ended_training"),
        )
    ),
    OF_IDENTITIES,
)
ABSENT_IDS = Held("absent_ids", ("org_id",), has_leads=True)
HELD = (*OF_LEADS, *OF_ORGS, ABSENT_IDS)
