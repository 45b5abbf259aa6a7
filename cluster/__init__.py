"""SERVE: the bundled replicated store, something real to ask. Imports nothing of the other rooms."""
