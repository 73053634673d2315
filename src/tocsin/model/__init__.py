"""model holds the nouns and their algebra: no I/O, no clock, no async."""
