"""Measurements that are run by hand; each prints a table. CONTRIBUTING.md lists their commands.

`serving` measures the HTTP server, `models` what is trained and decided. Each module directly in them is a command:
`python -m benchmarks.models.gate`. What a command is made of is in the folder `harness` beside it, and what both parts
use, in `throwaway_crm`.
"""
