import pytest

from mmtx_cli.command.export import model_card

HEADS = {
    "captioning.CaptioningHead": "mmtx caption ckpt=mine inputs=PICTURES",
    "classification.ClassificationHead": "mmtx predict ckpt=mine data.path=MANIFEST.jsonl",
    "contrastive.ContrastiveHead": "mmtx eval ckpt=mine data.path=MANIFEST.jsonl",
    "masked_reconstruction.MaskedReconstructionHead": "mmtx eval ckpt=mine data.path=MANIFEST",
}


@pytest.mark.parametrize("head", HEADS)
def test_the_card_describes_the_model(head):
    model = {
        "encoder": {},
        "fusion": {"_target_": "mmtx_cli.fusion.concat.ConcatFusion"},
        "head": {"one": {"_target_": f"mmtx_cli.head.{head}"}},
    }
    card = model_card("mine", {"model": model, "preparation": {"image_size": 32}})
    assert HEADS[head] in card


def test_a_model_that_answers_is_given_a_question():
    node = {"_target_": "mmtx_cli.head.captioning.CaptioningHead", "target": "answers"}
    fusion = {"_target_": "mmtx_cli.fusion.concat.ConcatFusion"}
    model = {"encoder": {}, "fusion": fusion, "head": {"one": node}}
    card = model_card("mine", {"model": model, "preparation": {"image_size": 32}})
    assert "mmtx caption ckpt=mine inputs=PICTURES text='A QUESTION'" in card
