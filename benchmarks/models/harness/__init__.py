"""What the benchmarks of models are made of.

- leads to learn from and to judge on: `lead_rows`; models to compare: `rival_models`;
- for the gate: orgs whose leads change with time, `changing_worlds`, and their monthly versions, `retrained_orgs`.
"""
