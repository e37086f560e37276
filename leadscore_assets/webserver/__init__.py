"""Dagster's webserver behind a guard of ours: `guard` decides who may do what, `__main__` puts the two together."""
