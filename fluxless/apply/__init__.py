"""Makes objects true in a cluster: normalise, order, apply, drift, prune, health. Knows no kind of Flux."""
