"""What developers run: a cluster and a host on a laptop, generators, the demo and the benchmarks."""
