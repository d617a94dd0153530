"""A real registry (distribution) for tests, demo and benchmarks."""
