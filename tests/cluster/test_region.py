"""The back of the store as a whole: three zones, real sockets, real files."""


async def test_thin_path(region):
    """What was written through one zone's router is read strongly through another's."""
    await region.put("a", "1", zone="az1")
    assert await region.get("a", zone="az2") == "1"
