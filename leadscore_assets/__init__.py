"""Dagster: names, wiring and metadata around the core. A body here is: load, call, return metadata.

`definitions` puts the parts together; `assets/` holds one file per asset; `source/` reads the CRM and keeps our tables;
`training/` splits, fits and judges, `report/` writes a version's page, both without Dagster and without a database;
`metadata/` is what Dagster shows beside an asset, `commands/` what is run beside Dagster. What serving needs too
belongs in `leadscore`.
"""
