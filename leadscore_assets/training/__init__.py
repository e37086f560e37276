"""From feature rows to a judged version: pure functions, scikit-learn allowed, no Dagster."""
