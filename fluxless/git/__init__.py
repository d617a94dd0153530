"""Speaks Git: what a remote has, and one commit of it. Writes nothing to a remote and keeps no clone."""
