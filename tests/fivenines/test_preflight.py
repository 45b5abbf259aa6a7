"""What is in the way of a stack."""

import socket
from pathlib import Path

import pytest

from cluster.topology import Address
from fivenines.parts import Part
from fivenines.preflight import InTheWay, check_ports, only_one


def test_a_taken_port_is_named_with_its_part() -> None:
    """The error has the address, the part that needs it, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        part = Part("console", "console", None, "", 0, (Address("127.0.0.1", port),))
        with pytest.raises(InTheWay, match=rf"127\.0\.0\.1:{port}  needed by console, held by process"):
            check_ports((part,))
    check_ports((part,))


def test_a_second_stack_in_the_same_folder_is_told_about_the_first(tmp_path: Path) -> None:
    """The lock names the process and the console of the stack that holds it, and is free again afterwards."""
    first = only_one(tmp_path, "http://127.0.0.1:8080")
    refusal = pytest.raises(InTheWay, match=r"already up here: process \d+, console http://127\.0\.0\.1:8080")
    with first, refusal, only_one(tmp_path, ""):
        pass
    with only_one(tmp_path, ""):
        pass
