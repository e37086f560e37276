"""Commands that run outside Dagster, such as to set up the database, rebuild a version, or rename an org."""
