"""Masked reconstruction of pictures, videos and sounds."""

from dataclasses import replace

import pytest
import torch

from mmtx_cli.errors import ConfigError
from mmtx_cli.model.build import build_model
from mmtx_cli.types import ModalityInput
from tests.messages import raises
from tests.tiny import (
    at_step,
    chosen_rows,
    composed,
    noisy_where_absent,
    same,
    tiny_batch,
    tiny_model,
)

CASES = {
    "image": ("image", {"image": [1, 1, 2]}, ()),
    "video": ("video", {"video": [4, 3, 1]}, ()),
    "video, joint": ("video", {"video": [4, 3, 1]}, ("encoder.video.attention=joint",)),
    "video, random": (
        "video",
        {"video": [4, 3, 1]},
        ("encoder.video.attention=joint", "head.masked_video.masking=random"),
    ),
    "audio": ("audio", {"audio": [48, 30, 20]}, ("encoder/audio=ast", "encoder.audio.stem=patch")),
}


def made(case, *args, ratio=0.75):
    modality, counts, own = CASES[case]
    head = f"masked_{modality}"
    args = (*own, f"head.{head}.mask_ratio={ratio}", *args)
    model = tiny_model("decision", [head], [modality], args)
    return model, head, modality, tiny_batch(model, counts)


@pytest.fixture(params=CASES)
def case(request):
    return request.param


@pytest.mark.quick_cases(3)
def test_the_loss_is_the_mean_squared_error_of_what_is_hidden(case):
    model, name, modality, batch = made(case, f"head.masked_{CASES[case][0]}.target=raw")
    model, head = model.double(), model.head[name]
    view = head.prepare_batch(batch)
    prediction = head(model.streams(view, head.streams, {}), view)
    patches = model.encoder[modality].patching().cut_patches(batch.inputs[modality])
    shown = view.inputs[modality].visible
    total, count = 0.0, 0
    for i in range(len(batch)):
        seen = set(shown.index[i][shown.mask[i]].tolist())
        away = [j for j in range(patches.mask.shape[1]) if patches.mask[i, j] and j not in seen]
        predicted = prediction.outputs["patches"][i][view.targets["hidden"][i]]
        wanted = view.targets["patches"][i][view.targets["hidden"][i]]
        rows = {tuple(patches.x[i, j].tolist()) for j in away}
        assert {tuple(row.tolist()) for row in wanted} == rows
        total += sum(
            (a - b) ** 2 for a, b in zip(predicted.flatten(), wanted.flatten(), strict=True)
        )
        count += len(away)
    naive = total / (count * patches.x.shape[2])
    torch.testing.assert_close(prediction.loss, naive, atol=1e-10, rtol=1e-10)


def test_what_is_hidden_is_not_seen(case):
    """What the stem makes of hidden patches, be it what it may, reaches nothing."""
    model, name, modality, batch = made(case)
    head, encoder = model.head[name], model.encoder[modality]
    view = head.prepare_batch(batch)
    shown = view.inputs[modality].visible
    seen = torch.zeros_like(encoder.patching().cut_patches(batch.inputs[modality]).mask)
    for i in range(len(batch)):
        seen[i, shown.index[i][shown.mask[i]]] = True

    def noisy(module, inputs, made):  # [b, …, d]
        if modality == "image":  # hidden patches are not even embedded
            assert made.shape[:-1] == shown.mask.shape
            return made
        return torch.where(seen.view(*made.shape[:-1], 1), made, torch.randn_like(made))

    before = head(model.streams(view, head.streams, {}), view)
    encoder.stem.register_forward_hook(noisy)
    after = head(model.streams(view, head.streams, {}), view)
    same(after.outputs["patches"], before.outputs["patches"])


def test_pixels_that_are_hidden_change_nothing():
    model, name, _, batch = made("image")
    head = model.head[name]
    view = head.prepare_batch(batch)
    field, shown = view.inputs["image"], view.inputs["image"].visible
    data = torch.randint_like(field.data, 256)
    places = (64 // 16) ** 2
    for i in range(len(batch)):
        for j in shown.index[i][shown.mask[i]].tolist():
            picture, place = divmod(j, places)
            top, left = (16 * side for side in divmod(place, 4))
            part = (i, picture, slice(None), slice(top, top + 16), slice(left, left + 16))
            data[part] = field.data[part]
    other = replace(view, inputs={"image": ModalityInput(data, field.mask, shown)})
    predicted = [
        head(model.streams(v, head.streams, {}), v).outputs["patches"] for v in (view, other)
    ]
    assert (data != field.data).any()
    same(predicted[1][view.targets["hidden"]], predicted[0][view.targets["hidden"]])


def test_gradients_reach_the_encoder(case):
    model, name, _, batch = made(case)
    model.train()(batch)[name].loss.backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_loss_of_a_sample_does_not_depend_on_the_batch(case):
    model, name, _, batch = made(case)
    together = model.predict(batch)[name]
    for i in range(len(batch)):
        alone = model.predict(chosen_rows(batch, [i], trim=True))[name]
        same(alone, {k: x[i : i + 1] for k, x in together.items()}, 1e-5)
    noisy = replace(batch, inputs={m: noisy_where_absent(f) for m, f in batch.inputs.items()})
    same(model.predict(noisy)[name], together)


def test_a_modality_reconstructed_from_the_others():
    args = ["head.masked_image.mask_ratio=1", "head.masked_image.streams=[fused]"]
    model = tiny_model("concat", ["masked_image"], args=args)
    batch = tiny_batch(model, {"text": [4, 6, 0], "image": [1, 0, 1]})
    head = model.head["masked_image"]
    view = head.prepare_batch(batch)
    assert not view.inputs["image"].mask.any()
    assert view.targets["hidden"].sum(dim=1).tolist() == [16, 0, 16]
    other = replace(view, inputs={**view.inputs, "image": noisy_where_absent(view.inputs["image"])})
    predicted = [
        head(model.streams(v, head.streams, {}), v).outputs["patches"] for v in (view, other)
    ]
    same(predicted[1], predicted[0])
    prediction = head(model.streams(view, head.streams, {}), view)
    assert prediction.loss.isfinite()


def test_normalized_targets(case):
    model, name, _, batch = made(case)
    view = model.head[name].prepare_batch(batch)
    patches = view.targets["patches"][view.targets["hidden"]]
    assert patches.mean(dim=1).abs().max() < 1e-4
    torch.testing.assert_close(patches.std(dim=1), torch.ones(len(patches)), atol=1e-2, rtol=0)


@pytest.mark.parametrize("modality", ["image", "video", "audio"])
@pytest.mark.slow
def test_learns_two_samples_by_heart(modality):
    torch.manual_seed(0)
    model, name, _, batch = made(modality)
    batch = chosen_rows(batch, [0, 1], trim=True)
    data = batch.inputs[modality].data
    if modality == "audio":  # two tones
        time = torch.arange(data[0].numel()) / 16000
        for i, tone in enumerate((440, 3000)):
            data[i] = (time * tone * 2 * torch.pi).sin().view_as(data[i])
    else:  # from dark to bright, across and down
        grid = torch.linspace(0, 255, 64).to(torch.uint8)
        data[0], data[1] = grid, grid[:, None]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for step in range(150):
        optimizer.zero_grad()
        loss = model.train()(at_step(batch, step))[name].loss
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-10:]) < 0.2 * sum(losses[:3]) * 10 / 3


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["encoder.image.stem=conv"], ["modality: ", "'image'", "encoder.image.stem=patch"]),
        (["encoder/image=cnn"], ["modality: ", "'image'", "encoder.image.stem=patch"]),
        (["head.masked_image.modality=audio"], ["modality: ", "'audio'", "encoder/audio=NAME"]),
        (["head.masked_image.mask_ratio=0"], ["mask_ratio=0 ", " 1"]),
        (["head.masked_image.mask_ratio=1"], ["mask_ratio=1 ", "streams=[fused]"]),
        (["head.masked_image.masking=tube"], ["masking='tube': ", "encoder", "moment"]),
        (["head.masked_image.target=pixels"], ["target='pixels' ", "normalized, raw"]),
    ],
)
def test_what_cannot_be_reconstructed(args, parts):
    patch = [] if "encoder" in args[0] else ["encoder.image.stem=patch"]
    cfg = composed("encoder/image=vit", "head=masked_image", "fusion=decision", *patch, *args)
    with raises(ConfigError, "head.masked_image: ", *parts):
        build_model({"model": {**cfg, "encoder": {"image": cfg["encoder"]["image"]}}})
