"""The forms of the Prometheus HTTP API: its parameters, its answers and its errors."""
