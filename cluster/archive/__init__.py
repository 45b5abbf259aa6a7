"""The archive: committed WAL entries of every replication group in an object store, and how a table is rebuilt from it."""
