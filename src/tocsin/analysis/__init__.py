"""analysis turns arrays of numbers into judgements: trend, season, change; pure."""
