"""The model report: what one version is worth, as one page of HTML that needs nothing else. It knows no Dagster."""
