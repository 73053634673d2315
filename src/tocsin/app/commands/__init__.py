"""The verbs of the command `tocsin`, a file for each group. Each loads what it needs when it runs."""
