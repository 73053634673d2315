"""Reads metrics from targets over HTTP, as Prometheus does and from the same configuration."""
