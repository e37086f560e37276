"""The HTTP server: scores leads, shows and rolls back versions, asks Dagster to train.

What may live here: Flask, the wire types, the cache of loaded versions, the client of Dagster's webserver. What may
not: Dagster itself, pandas, scikit-learn, SQL beyond the call of a function. Reading order is a request's way:
`server`, `app`, `api`, `services`, `models` and `training`, `dependencies` and `telemetry`.
"""
