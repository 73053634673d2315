"""tocsin watches machines, keeps their metrics, and wakes the right person when something is wrong."""

__version__ = "0.1.0"
