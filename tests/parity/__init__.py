"""The same small repositories for Fluxless and for Flux.

`test_corpus.py` plays the corpus with Fluxless and compares with `expected/`, one file a scenario;
`FLUXLESS_UPDATE_EXPECTED=1` writes those files anew. `python -m tests.parity.compare` plays it with Fluxless and with
Flux's own controllers, side by side, and prints every difference.
"""
