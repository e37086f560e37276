"""Measures what Dagster's history comes to over the years, and whether its pages bear it."""
