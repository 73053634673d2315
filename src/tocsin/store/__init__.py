"""store keeps it: the real implementation of every port, and a memory twin."""
