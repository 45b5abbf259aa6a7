"""Other ways into the ledger than the HTTP door: a NATS JetStream that canaries publish to."""
