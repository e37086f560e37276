"""Measurements of the scoring of open leads."""
