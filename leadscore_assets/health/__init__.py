"""How each org stands, one row per org: the table `leadscore.org_health`, which pages, API and metrics read."""
