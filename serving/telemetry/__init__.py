"""The server's log lines and metrics, which are recorded during a request and written in batches."""
