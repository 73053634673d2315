"""Go's text templates with Prometheus' functions, as people write them in labels and annotations of rules.

Pure and bounded: a template sees only the values that it is given, and ends after `limits.STEPS_MAX` steps.
"""
