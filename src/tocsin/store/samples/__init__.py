"""samples keeps the metrics in ClickHouse: one SQL, one schema, two transports."""
