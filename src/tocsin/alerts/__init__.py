"""alerts decides who must hear what, when and why."""
