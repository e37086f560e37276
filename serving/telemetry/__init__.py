"""What the server says of its work: log lines and metrics, recorded in passing and written together."""
