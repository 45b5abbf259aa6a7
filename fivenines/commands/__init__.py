"""The commands, one file a family; each is a thin call into the room that does the work."""
