"""ingest brings the world in as samples; only a rule raises an alert."""
