"""One family of functions a file; `registry` knows them all by name."""
