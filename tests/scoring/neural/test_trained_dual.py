import pytest

from mmtx_cli.errors import CheckpointError, ConfigError
from mmtx_cli.scoring.neural import trained_dual
from mmtx_cli.scoring.neural.clipscore import dual_encoder
from mmtx_cli.scoring.neural.settings import neural_settings
from tests.messages import raises
from tests.scoring.neural.models import settings


def test_the_key_of_a_model_that_cannot_be_loaded_is_named():
    with pytest.raises(CheckpointError) as caught:
        dual_encoder(settings(clipscore={"ckpt": "none"}).neural)
    assert caught.value.faults[0].startswith("clipscore.ckpt=none: ")


def test_trusted_packages_are_those_of_the_command_line(monkeypatch):
    given = {}

    def load(ckpt, **keys):
        given.update(keys)
        raise ConfigError("ckpt: seen")

    monkeypatch.setattr(trained_dual, "load", load)
    plain = {"clipscore": {"ckpt": "x"}, "trusted_packages": ["own"]}
    chosen, faults = neural_settings(plain, ("clipscore",))
    assert faults == []
    with raises(ConfigError, "clipscore.ckpt: seen"):
        dual_encoder(chosen)
    assert given["trusted_packages"] == ("own",)
