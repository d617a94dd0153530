"""`python -m fluxless.cli`."""

from fluxless.cli import main

main()
