"""Who we are: the only room that gives out tokens of the app's identity, each pinned to a scope and to its hosts."""
