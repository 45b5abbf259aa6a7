"""The ledger's history: hourly-sealed Parquet files, partitioned by date and zone, in a folder or in an object store."""
