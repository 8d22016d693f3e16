import pytest

from mmtx_cli.command.export import model_card

HEADS = {
    "captioning.CaptioningHead": "mmtx caption ckpt=mine inputs=IMAGES",
    "classification.ClassificationHead": "mmtx predict ckpt=mine data.path=MANIFEST.jsonl",
    "contrastive.ContrastiveHead": "mmtx eval ckpt=mine data.path=MANIFEST.jsonl",
    "masked_reconstruction.MaskedReconstructionHead": "mmtx eval ckpt=mine data.path=MANIFEST",
}


@pytest.mark.parametrize("head", HEADS)
def test_the_card_says_what_a_model_is_for(head):
    model = {
        "encoder": {},
        "fusion": {"_target_": "mmtx_cli.fusion.concat.ConcatFusion"},
        "head": {"one": {"_target_": f"mmtx_cli.head.{head}"}},
    }
    card = model_card("mine", {"model": model, "preparation": {"image_size": 32}})
    assert HEADS[head] in card
