"""The language that training and serving both speak: contract, forest, registry, gate, activation.

What may live here: anything that both processes must agree on. What may not: Dagster, Flask, scikit-learn,
pandas, and SQL beyond the call of a function. Reading order is the data's way: `errors`, `settings`, `formats`,
`arrays`, `records`, `features`, `engine`, `forest`, `scoring`, `pooling`, `evaluation`, `comparison`, `gate`,
`registry`; beside it, about the data that a training needs, `outcome_forecast`, `requirements` and `readiness`.
"""

# the release, as pyproject.toml and CHANGELOG.md name it, too
VERSION = "0.2.0"
