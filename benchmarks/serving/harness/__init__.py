"""What the benchmarks of serving are made of.

- what is served and measured: `registries`, `services`, and to compare ours with `reference_apps` and `peers`;
- how it is measured: `service_processes`, `load_generator`, `rounds`, `request_profiler`;
- lines of the table of goals: `goal_table`, `batches`, `many_orgs`.
"""
