"""What a storage node keeps on its disk: the write-ahead log, the item table, snapshots."""
