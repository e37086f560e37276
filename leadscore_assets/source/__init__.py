"""Everything that is PostgreSQL: reading the CRM's tables, and our own tables in the schema `leadscore`.

What may live here: SQL and the calls that run it. What may not: Dagster, and judgement about what was read.
"""
