"""wire parses one format a file, from bytes to rows, and never touches a socket."""
