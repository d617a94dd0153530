"""Receivers: who may tell us that something has changed, and which objects that concerns."""
