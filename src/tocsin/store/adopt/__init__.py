"""Reading a database of the older schema, and remembering how far that has come."""
