"""Trainings that are requested over HTTP: claimed, started and followed, with their failures in words."""
