"""``python -m fivenines`` is the ``fivenines`` command."""

from fivenines.cli import main

main()
