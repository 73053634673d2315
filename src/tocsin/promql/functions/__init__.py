"""Functions over instant vectors, scalars and strings: one family a file; those over range vectors are `windows`."""
