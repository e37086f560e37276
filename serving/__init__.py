"""The HTTP server: scores leads, shows and rolls back versions, asks Dagster to train.

What may live here: Flask, the wire types, the cache of loaded versions, the client of Dagster's webserver. What may
not: Dagster itself, pandas, scikit-learn, SQL beyond the call of a function. Reading order is a request's way:
`http_server`, `bridge`, `app`, `operation`, `boundary`, `wire`, the routes, `problems`.
"""
