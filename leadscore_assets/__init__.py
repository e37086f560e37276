"""Dagster: names, wiring and metadata around the core. A body here is: load, call, return metadata.

`definitions` puts the parts together; `assets/` holds one file per asset; `source/` reads the CRM and keeps our tables;
`training/` splits, fits and judges without Dagster. What serving needs too belongs in `leadscore`.
"""
