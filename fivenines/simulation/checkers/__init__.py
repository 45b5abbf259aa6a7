"""What must be true of every run, each promise as one object that watches."""
