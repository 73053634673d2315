"""listen takes samples from sockets of its own, for protocols that are older than HTTP."""
