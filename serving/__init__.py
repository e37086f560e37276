"""The HTTP server: scores leads, shows and rolls back versions, and starts trainings in Dagster.

It holds the Flask app, the types of the API, the cache of loaded versions, and the client of Dagster's webserver. It
must not use Dagster itself, pandas or scikit-learn, nor SQL beyond the call of a function. Read it in the order of a
request:
`server`, `app`, `api`, `services`, `models` and `training`, `dependencies` and `telemetry`.
"""
