import pytest
import torch

from mmtx_cli.distributed.launch import warn_of_emulation
from tests.messages import mentions


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("supported", [False, True])
def test_emulated_half_precision_is_reported(precision, device, supported, monkeypatch, capsys):
    for name in ("_is_mkldnn_bf16_supported", "_is_mkldnn_fp16_supported"):
        monkeypatch.setattr(torch.ops.mkldnn, name, lambda: supported)
    warn_of_emulation(precision, torch.device(device))
    slow = precision != "32-true" and device == "cpu" and not supported
    message = capsys.readouterr().err
    assert bool(message) == slow
    if slow:
        mentions(message, f"trainer.precision={precision}: ", "CPU")
