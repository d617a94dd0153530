"""Azurite, the storage emulator: installed once from the pinned lock file into the user's cache."""
