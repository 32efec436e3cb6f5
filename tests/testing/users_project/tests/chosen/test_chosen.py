from ape_dtn.deployment.assemble import Variant


def test_the_fixture_of_the_tests_chooses(dtn):
    assert dtn.variant is Variant.LIVE
