"""Whom a router asks for the leader, and whom it blames."""

from hypothesis import given
from hypothesis import strategies as st

from cluster.ports import Partition
from cluster.routing.candidates import Suspects, for_eventual_read, for_leader
from cluster.routing.leader_search import MAX_HINTS, Search

NODES = ["az1-node-1", "az2-node-1", "az3-node-1"]
PARTITION = Partition("0", 0, 1, tuple(NODES))


def test_a_hint_is_followed_first():
    """The node that another believes to lead is asked next."""
    search = Search(list(NODES), 1.0)
    search.next_node()
    search.not_leader(NODES[0], NODES[2])
    assert search.next_node() == NODES[2]


@given(st.lists(st.sampled_from([*NODES, None]), max_size=20))
def test_a_round_ends(hints):
    """Whatever the nodes say, each is asked at most once a round."""
    search = Search(list(NODES), 1.0)
    asked = []
    for hint in [*hints, *[None] * 20]:
        node = search.next_node()
        if node is None:
            break
        asked.append(node)
        search.not_leader(node, hint)
    assert sorted(asked) == sorted(NODES)
    assert search.hints <= MAX_HINTS


def test_the_silent_leader_is_to_blame():
    """Of those said to lead, the one that did not answer is named, though another is a candidate."""
    search = Search(list(NODES), 1.0, [NODES[0]])
    search.not_leader(NODES[1], NODES[1])
    search.not_leader(NODES[2], NODES[1])
    assert search.to_blame() == NODES[0]


def test_when_all_answer_the_one_last_believed_in_is_to_blame():
    """With nobody silent, the latest belief is what there is."""
    search = Search(list(NODES), 1.0, [NODES[0]])
    for node in NODES:
        search.not_leader(node, NODES[1])
    assert search.to_blame() == NODES[1]


def test_giving_up_leaves_time_to_say_so():
    """A new round begins only if its pause fits."""
    search = Search(list(NODES), 1.0)
    assert search.new_round(0.5)
    assert not search.new_round(0.95)


def test_suspects_are_asked_last():
    """A node that has just failed is asked last, and first again a second later."""
    suspects = Suspects()
    suspects.add(NODES[0], 10.0)
    assert for_leader(PARTITION, NODES[0], suspects, 10.5) == [*NODES[1:], NODES[0]]
    assert for_leader(PARTITION, NODES[0], suspects, 11.5) == NODES
    zone_of = {node: node.split("-")[0] for node in NODES}
    assert for_eventual_read(PARTITION, "az2", zone_of, suspects, 10.5) == [NODES[1], NODES[2], NODES[0]]
