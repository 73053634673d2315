"""runtime is the only door to the clock, chance, threads, sockets and our own metrics."""
