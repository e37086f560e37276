"""The whole system on one machine, no other installs: PostgreSQL, a simulated CRM, and one process that runs it."""
