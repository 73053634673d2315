"""routes: one family of paths a file."""
