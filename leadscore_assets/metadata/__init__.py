"""The metadata that Dagster shows of a materialization: figures, pictures, history and readiness plans."""
