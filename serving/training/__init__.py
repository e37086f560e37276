"""Trainings that are asked for over HTTP: claimed, launched, followed, and their failures in words."""
