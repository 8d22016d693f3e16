import torch

from mmtx_cli.layer.summary import StreamSummary
from mmtx_cli.types import Tokens


def test_each_present_stream_adds_its_projected_mean():
    torch.manual_seed(0)
    summary = StreamSummary(4, ["image", "audio"])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    streams = {
        "image": Tokens(torch.randn(2, 3, 4), mask),
        "audio": Tokens(torch.randn(2, 3, 4), torch.ones_like(mask)),
    }
    found = summary(streams)
    image, audio = summary.project["image"], summary.project["audio"]
    x = streams["image"].x[0, :2].mean(dim=0), streams["audio"].x.mean(dim=1)
    torch.testing.assert_close(found[0], image(x[0]) + audio(x[1][0]))
    torch.testing.assert_close(found[1], audio(x[1][1]))


def test_padding_and_absent_streams_do_not_matter():
    summary = StreamSummary(4, ["image"])
    mask = torch.tensor([[True, False], [False, False]])
    x = torch.randn(2, 2, 4)
    noise = torch.where(mask[..., None], x, torch.randn(2, 2, 4))
    found = summary({"image": Tokens(x, mask)})
    torch.testing.assert_close(found, summary({"image": Tokens(noise, mask)}))
    assert found[1].eq(0).all()
