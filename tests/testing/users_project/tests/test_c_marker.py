import pytest

from ape_dtn.deployment.assemble import Variant


@pytest.mark.dtn_variant("live")
def test_the_marker_chooses_the_variant(dtn, dtn_session, dtn_node):
    assert dtn.variant is Variant.LIVE
    request = dtn_session.request("Hello?")
    dtn_node.answer()
    assert request.answer().text == "You asked: Hello?"
