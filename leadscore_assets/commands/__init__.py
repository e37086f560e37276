"""Commands beside Dagster: set up the database, end interrupted runs, rebuild a version."""
