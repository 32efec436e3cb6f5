import pytest

from ape_dtn.local import Behaviour


@pytest.mark.dtn_behaviour("deployed")
def test_the_marker_chooses(dtn, dtn_session, dtn_node):
    assert dtn.behaviour is Behaviour.DEPLOYED
    request = dtn_session.request("Hello?")
    dtn_node.answer()
    assert request.answer().text == "You asked: Hello?"
