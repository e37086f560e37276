"""The lease of a database's control plane, as far as both the pipeline and the server must know it."""

from __future__ import annotations

# a holder that has not renewed its lease for so long has lost it
LEASE_SECONDS = 30

# the id of the registry that the control plane uses, while one holds the lease
LIVING_REGISTRY = (
    "SELECT registry_id FROM leadscore.control_plane"  # noqa: S608 (with a number of ours)
    f" WHERE heartbeat_at > clock_timestamp() - {LEASE_SECONDS} * interval '1 second'"
)
