"""Lanes: runs that take many orgs, one after the other, and record of each org what a run of its own would."""
