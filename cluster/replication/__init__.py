"""Multi-Paxos with leader leases, one replication group per partition: decisions only, no I/O."""
