"""What people see of a materialization in Dagster: figures, pictures, history, and the plan beside a refusal."""
