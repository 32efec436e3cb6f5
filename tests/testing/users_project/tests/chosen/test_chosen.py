from ape_dtn.deployment.assemble import Variant


def test_an_overriding_fixture_chooses_the_variant(dtn):
    assert dtn.variant is Variant.LIVE
