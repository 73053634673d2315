"""notify says it: renders, sends, retries and records."""
