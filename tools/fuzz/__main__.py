"""`python -m tools.fuzz`: every target in turns, for FUZZ_SECONDS. Exit code 1 for a fault."""

from __future__ import annotations

import argparse
import itertools
import logging
import os
import sys
import time

from fluxless import addresses
from tools import binaries
from tools.fuzz.runner import faults, known

SECONDS = 300.0
MOST_FAULTS = 3
"""Of one target, which is then left alone."""


def main() -> int:
    """Fuzz, and print what went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("FUZZ_SECONDS") or SECONDS))
    parser.add_argument("--target", choices=sorted(known()), help="this one only")
    parser.add_argument("--seed", type=int, help="this input only")
    arguments = parser.parse_args()
    for binary in binaries.SHIPPED:
        os.environ.setdefault(binary.setting, str(binaries.find(binary)))
    addresses.use(addresses.AddressPolicy.of("127.0.0.0/8", {}))  # where the servers of targets are
    logging.disable()
    chosen = [target for target in known().values() if arguments.target in {None, target.name}]
    first = arguments.seed if arguments.seed is not None else time.time_ns() % 1_000_000_000
    wrong = 0
    for target in chosen:
        until = time.monotonic() + arguments.seconds / len(chosen)
        seeds = itertools.islice(itertools.count(first), 1 if arguments.seed is not None else None)
        tried = mine = 0
        for fault in faults(target, seeds, until):
            tried += 1
            if fault is not None:
                print(f"\n{fault}\n", flush=True)
                mine += 1
            if mine >= MOST_FAULTS:
                break
        wrong += mine
        print(f"{target.name}: {tried} inputs from seed {first} on, {mine} faults", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
