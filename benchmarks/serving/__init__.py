"""What the HTTP server costs: against its goals (`python -m benchmarks.serving`), by part, and by checkout."""
