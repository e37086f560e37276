"""The HTTP API: what each route takes and answers, and how bytes become checked values and errors become problems."""
