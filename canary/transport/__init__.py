"""The ways from a canary to the ledger: HTTP to each collector, or one NATS JetStream."""
