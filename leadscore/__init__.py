"""The language that training and serving both speak: contract, forest, registry, gate, activation.

What may live here: anything that both processes must agree on. What may not: Dagster, Flask, scikit-learn,
pandas, SQL. Reading order is the data's way: `errors`, `settings`, `records`, `features`, `engine`, `forest`,
`scoring`, `evaluation`, `gate`, `formats`, `artifact`, `registry`, `activation`; beside it, about the data that a
training needs, `outcome_forecast`, `requirements` and `readiness`.
"""
