"""COMPOSE: one command line, one configuration file, the embedded stack, game days."""
