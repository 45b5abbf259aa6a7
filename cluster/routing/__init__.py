"""Routing: which partition, which replica; MemDS holds every route, a router answers through them."""
