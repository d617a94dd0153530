"""What every Flux controller does alike: the loop, its errors, conditions, events, dependencies and records."""
