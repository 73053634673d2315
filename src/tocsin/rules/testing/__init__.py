"""Tests of rule files in Prometheus' format: series go in, and alerts and answers must come out as the file says."""
