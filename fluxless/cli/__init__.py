"""`fluxless`: what people type. Flux's verbs, flags and columns; it reads and annotates API objects, as `flux` does."""


def main() -> None:
    """The entry point of the console script."""
    from fluxless import addresses
    from fluxless.cli.app import app

    addresses.use(addresses.AddressPolicy(everything=True))  # a person at a machine of their own types addresses
    app()
