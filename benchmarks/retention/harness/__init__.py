"""What the benchmark of the retention is made of: years of history, and the queries of Dagster's pages."""
