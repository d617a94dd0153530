"""What users write in `source.toolkit.fluxcd.io`, a module per kind.

v1 is stored and is all that the engine reads. There is no conversion: whatever is written in an old version is kept
as v1, and the API server drops at that moment what v1 does not know. So the old versions are v1 and a few fields that
are accepted, defaulted and forgotten, which mean nothing in Flux either (GR-13), and the old names in the status.
`tools/crds.py` calls this; nothing here is looked at when an object is reconciled.
"""
