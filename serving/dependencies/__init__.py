"""What the server asks of others: Dagster's webserver and the CRM's database."""
