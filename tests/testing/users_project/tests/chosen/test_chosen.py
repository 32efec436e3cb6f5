from ape_dtn.local import Behaviour


def test_the_fixture_of_the_tests_chooses(dtn):
    assert dtn.behaviour is Behaviour.DEPLOYED
