"""The model report: one self-contained page of HTML on the quality of one version. It does not import Dagster."""
