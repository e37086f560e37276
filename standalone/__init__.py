"""The whole system on one machine: an embedded PostgreSQL, a simulated CRM, and one process that runs everything."""
