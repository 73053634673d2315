"""promql turns text into a tree, a tree into a plan, and a plan with its series into numbers."""
