"""host reads the machine tocsin runs on, one family of readings a file."""
