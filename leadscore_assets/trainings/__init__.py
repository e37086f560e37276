"""Who trains which org, which orgs wait for a training, and how each training ended; without Dagster."""
