"""Recording and alert rules for people who want the judgement inside Prometheus."""
