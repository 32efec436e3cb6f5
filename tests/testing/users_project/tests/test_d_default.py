def test_the_folder_of_another_choice_changes_nothing_here(dtn, dtn_variant):
    assert dtn.variant is dtn_variant
