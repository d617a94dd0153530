"""Packed sources and the engine's own documents: pack, unpack, and the stores that keep them."""
