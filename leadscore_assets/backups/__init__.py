"""Backups: the archive, and the database's part of it. What of the registry is in it is said in leadscore.registry."""
