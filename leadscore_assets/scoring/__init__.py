"""Scores the open leads of the orgs, and keeps the scores in tables of ours in the CRM's database."""
