"""The code that training and serving share: contract, forest, registry, gate, activation.

It holds everything on which both must agree. It must not use Dagster, Flask, scikit-learn or pandas, nor SQL beyond
the call of a function. Read it in the order of the data: `errors`, `settings`, `formats`,
`arrays`, `records`, `features`, `engine`, `forest`, `scoring`, `pooling`, `evaluation`, `comparison`, `gate`,
`registry`; beside it, about the data that a training needs, `outcome_forecast`, `requirements` and `readiness`.
"""

# the release, as pyproject.toml and CHANGELOG.md name it, too
VERSION = "0.2.0"
