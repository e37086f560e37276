"""Measurements that are run by hand: each module prints a table and says what it compares with what."""
