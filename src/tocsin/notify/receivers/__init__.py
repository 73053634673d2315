"""receivers: one way of reaching a person a file."""
