"""What customers' own programs tell: SDK client-side monitoring, the botocore hook, OTLP metrics, Prometheus remote write."""
