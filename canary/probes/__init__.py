"""How to ask each kind of target, and how to read its answer."""
