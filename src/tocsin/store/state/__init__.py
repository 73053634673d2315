"""state keeps rules, alerts, history, outbox, people and audit in SQLite or PostgreSQL."""
