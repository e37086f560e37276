"""The Dagster project: assets, checks, job, schedule and sensor around the core.

`definitions` puts the parts together; `assets/` holds one file per asset; `source/` reads the CRM and keeps our tables;
`training/` splits, fits and judges, `report/` writes a version's page, both without Dagster and without a database;
`metadata/` makes the metadata of assets, `commands/` holds commands that run outside Dagster, and `webserver/` guards
Dagster's pages. An asset only loads, calls, and returns metadata. Code that serving needs, too, belongs in `leadscore`.
"""
