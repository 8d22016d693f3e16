from safetensors.torch import save_file
from torch import nn

from mmtx_cli.command.inherit import has_weights
from mmtx_cli.command.train import load_initial


class Model(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.encoder = nn.ModuleDict({name: nn.Linear(2, 2) for name in ("image", "text")})
        self.head = nn.Linear(2, 3)
        for parameter in self.parameters():
            nn.init.constant_(parameter, value)


def test_begins_with_what_was_trained_but_for_weights_that_are_chosen_anew(tmp_path, capsys):
    model, trained = Model(0.0), Model(1.0)
    state = {**trained.state_dict(), "head.weight": trained.head.weight[:2].clone()}
    save_file(state, tmp_path / "model.safetensors")
    load_initial(model, str(tmp_path), {"text"})
    assert (model.encoder["image"].weight == 1).all()
    assert (model.encoder["text"].weight == 0).all()
    assert (model.head.weight == 0).all(), "of another shape"
    assert "ckpt: 3 of 6 tensors" in (said := capsys.readouterr().out)
    assert "new: head.weight" in said


def test_weights_may_stand_in_an_encoder_within():
    assert has_weights({"_target_": "x", "weights": "y.pth"})
    assert has_weights({"image": {"weights": "default"}})
    assert not has_weights({"weights": None, "image": {"depth": 3}})
    assert not has_weights(None)
