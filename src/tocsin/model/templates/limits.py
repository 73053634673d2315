"""How far a template may go: it is text that somebody typed, and it runs within the rule's round."""

TEXT_MAX = 64 * 1024
"""Characters of a template."""

OUTPUT_MAX = 64 * 1024
"""Characters of what it makes, and of any text on the way there."""

STEPS_MAX = 20_000
"""Nodes that are looked at; one takes about a microsecond."""

DEPTH_MAX = 40
"""Parentheses, blocks and templates within one another."""
