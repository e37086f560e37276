"""Commands that run outside Dagster: set up the database, end interrupted runs, rebuild a version, back up, erase."""
