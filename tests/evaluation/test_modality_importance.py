import pytest

from mmtx_cli.evaluation.modality_importance import removable_modalities
from tests.tiny import tiny_model


@pytest.mark.parametrize(
    ("name", "modalities"),
    [
        ("masked_image", ["text"]),
        ("masked_lm", ["image"]),
        ("prefix_lm", ["image"]),
        ("classification", ["text", "image"]),
        ("captioning", ["text", "image"]),
    ],
)
def test_what_a_head_predicts_itself_is_not_taken_from_it(name, modalities):
    """Hidden patches of another picture are other targets: a figure would say nothing."""
    head = tiny_model("concat", [name]).head[name]
    assert removable_modalities(head, ["text", "image"]) == modalities
