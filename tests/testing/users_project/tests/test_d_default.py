def test_another_folders_variant_does_not_apply_here(dtn, dtn_variant):
    assert dtn.variant is dtn_variant
