"""The claim on an org's training, as far as both the pipeline and the server must know it.

An org has one row in `leadscore.training_claim`, whose holder is a run, or a request that is about to launch one. A
holder renews its claim; one that did not for LEASE_SECONDS has lost it, and the next who asks gets it. Each new holder
has a higher fence, by which a holder that lost its claim is told from the present one.
"""

from __future__ import annotations

from leadscore.control_plane import LEASE_SECONDS

# the present holder's fence stays; no row comes back while another holds the claim
TAKE = f"""
INSERT INTO leadscore.training_claim AS present (org_id, holder, expires_at)
VALUES (%(org_id)s, %(holder)s, clock_timestamp() + {LEASE_SECONDS} * interval '1 second')
ON CONFLICT (org_id) DO UPDATE
SET holder = excluded.holder, expires_at = excluded.expires_at,
    fence = CASE WHEN present.holder = excluded.holder THEN present.fence ELSE excluded.fence END,
    claimed_at = CASE WHEN present.holder = excluded.holder THEN present.claimed_at ELSE excluded.claimed_at END
WHERE present.expires_at <= clock_timestamp() OR present.holder = excluded.holder
RETURNING fence
"""  # noqa: S608 (with a number of ours)
# a request launches a run, which goes on with its claim
HAND_OVER = """
UPDATE leadscore.training_claim SET holder = %(run_id)s
WHERE org_id = %(org_id)s AND holder = %(holder)s
RETURNING fence
"""
RELEASE = "DELETE FROM leadscore.training_claim WHERE org_id = %(org_id)s AND holder = %(holder)s RETURNING fence"
HOLDERS = """
SELECT holder FROM leadscore.training_claim
WHERE org_id = ANY (%(org_ids)s) AND expires_at > clock_timestamp()
ORDER BY claimed_at
"""
