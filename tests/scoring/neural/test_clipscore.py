from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmtx_cli.decoder.language_model import weights_hash
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.scoring.families import measure
from tests.integration.fixtures import AWKWARD_NAME
from tests.media import numbered, sounds
from tests.messages import faults_mention, mentions, raises
from tests.scoring.neural.models import (
    captions,
    clap,
    clip,
    picture,
    roberta,
    settings,
    siglip,
    unit,
)

PREDICTIONS = ["two dogs run on grass", "a red circle", "the child", "a balloon"]
REFERENCES = [["dogs run", "a man rides a bicycle"], ["a circle"], ["a child", "a girl"], ["x"]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="module")
def weights(folder):
    return clip(folder / "clip")


@pytest.fixture(scope="module")
def pictures(folder):
    return [picture(folder / f"{i}.png", i) for i in range(4)]


def clipscore(media, predictions=None, references=None, batch_size=3, **keys):
    own = captions(predictions or PREDICTIONS, references or REFERENCES, media)
    return measure("clipscore", own, settings(clipscore=keys, batch_size=batch_size))


def library(weights):
    """Model and processors of transformers."""
    import transformers as t

    return t.AutoModel.from_pretrained(weights).eval(), t.AutoTokenizer.from_pretrained(weights)


def text_vectors(weights, texts, **how):
    model, words = library(weights)
    with torch.no_grad():
        rows = [words(text, return_tensors="pt", **how) for text in texts]
        return unit(torch.cat([model.get_text_features(**row).pooler_output for row in rows]))


def picture_vectors(weights, images):
    import transformers as t

    processor = t.AutoImageProcessor.from_pretrained(weights)
    with torch.no_grad():
        rows = [processor(images=image, return_tensors="pt") for image in images]
        model = library(weights)[0]
        return unit(torch.cat([model.get_image_features(**row).pooler_output for row in rows]))


def expected(media, prefix, vectors):
    """CLIPScore and RefCLIPScore by their formulas, from the vectors of media and of texts."""
    rows = []
    for x, predicted, own in zip(media, PREDICTIONS, REFERENCES, strict=True):
        candidate, *others = vectors([f"{prefix}{text}" for text in (predicted, *own)])
        seen = 2.5 * max(float(candidate @ x), 0)
        text = max(*(float(candidate @ other) for other in others), 0)
        rows.append([seen, 2 * seen * text / (seen + text) if seen + text else 0])
    return np.array(rows)


def found(measured):
    assert list(measured.scores.per_sample) == ["clipscore", "refclipscore"]
    return np.stack([*measured.scores.per_sample.values()], axis=1)


def some_positive(values):
    """The values are no trivial zeros."""
    assert (values[:, 0] > 0.01).any()
    return values


def test_a_clip_of_the_hub_scores_pictures(weights, pictures):
    measured = clipscore([{"image": path} for path in pictures], weights=weights)
    images = [Image.open(path).convert("RGB") for path in pictures]
    values = expected(
        picture_vectors(weights, images),
        "A photo depicts ",
        lambda texts: text_vectors(weights, texts),
    )
    np.testing.assert_allclose(found(measured), some_positive(values), atol=1e-4)
    assert measured.parameters["media"] == {"image": 4}
    assert measured.parameters["prefix"] == "A photo depicts"
    assert measured.parameters["weight"] == 2.5
    assert measured.notes == ()


def test_a_siglip_reads_texts_padded_to_their_full_length(folder, pictures):
    weights = siglip(folder / "siglip")
    measured = clipscore([{"image": path} for path in pictures], weights=weights, prefix="")
    images = [Image.open(path).convert("RGB") for path in pictures]
    whole = {"padding": "max_length", "max_length": 16}
    values = expected(
        picture_vectors(weights, images), "", lambda texts: text_vectors(weights, texts, **whole)
    )
    np.testing.assert_allclose(found(measured), some_positive(values), atol=1e-4)


def test_a_film_is_the_mean_of_its_frames(weights, tmp_path):
    paths = [numbered.write(tmp_path / f"{i}.mp4", range(i, i + 12)) for i in range(4)]
    media = [{"video": Path(path)} for path in paths]
    measured = clipscore(media, weights=weights, num_frames=3, batch_size=2)
    from mmtx_cli.media.video.decode import decode_video
    from mmtx_cli.media.video.frame_sampling import Sampling

    films = [decode_video(path, Sampling(3), 32).frames for path in paths]
    means = [picture_vectors(weights, [*frames]).mean(axis=0) for frames in films]
    values = expected(unit(means), "A photo depicts ", lambda t: text_vectors(weights, t))
    np.testing.assert_allclose(found(measured), values, atol=1e-4)
    assert measured.parameters["num_frames"] == 3
    assert measured.parameters["media"] == {"video": 4}


def test_a_part_of_a_film_is_that_of_its_times(weights, tmp_path):
    from mmtx_cli.scoring.neural.dual_encoder import File
    from mmtx_cli.scoring.neural.hub_dual import HubDualEncoder

    long = numbered.write(tmp_path / "long.mp4", range(100))
    model = HubDualEncoder(weights, torch.device("cpu"), 4, 3)
    files = [File("video", "image", long, *times) for times in ((2.0, 3.0), (None, None))]
    vectors, unread = model.media(files)
    assert unread == {}
    from mmtx_cli.media.video.decode import decode_video
    from mmtx_cli.media.video.frame_sampling import Sampling

    frames = decode_video(long, Sampling(3), 32, start=2.0, end=3.0).frames
    expected = picture_vectors(weights, [*frames]).mean(axis=0)
    np.testing.assert_allclose(vectors[0], expected, atol=1e-5)
    assert abs(vectors[0] - vectors[1]).max() > 1e-4


def test_media_and_references_are_read_once_for_several_systems(weights, pictures, monkeypatch):
    from mmtx_cli.scoring.neural.hub_dual import HubDualEncoder

    media = [{"image": path} for path in pictures]
    others = [f"{text} on the road" for text in PREDICTIONS]
    alone = found(clipscore(media, others, weights=weights, batch_size=2))
    read, encoded = [], []
    parts, texts = HubDualEncoder._parts, HubDualEncoder.texts
    monkeypatch.setattr(
        HubDualEncoder, "_parts", lambda self, file: read.append(file) or parts(self, file)
    )
    monkeypatch.setattr(
        HubDualEncoder, "texts", lambda self, some: encoded.extend(some) or texts(self, some)
    )
    clipscore(media, weights=weights, batch_size=4)
    assert len(read) == 4
    encoded.clear()
    second = found(clipscore(media, others, weights=weights, batch_size=4))
    assert len(read) == 4
    assert sorted(encoded) == sorted(f"A photo depicts {text}" for text in others)
    np.testing.assert_allclose(second, alone, atol=1e-5)


def test_a_clap_scores_sounds_by_all_their_parts(folder, tmp_path):
    import transformers as t

    weights = clap(folder / "clap")
    waves = [sounds.glide(seconds, low=low) for seconds, low in ((1, 200), (3, 400), (5, 80))]
    waves.append(waves[1][::-1].copy())
    for i, wave in enumerate(waves):
        sounds.write_floats(tmp_path / f"{i}.wav", wave)
    media = [{"audio": tmp_path / f"{i}.wav"} for i in range(4)]
    measured = clipscore(media, weights=weights)
    processor = t.AutoFeatureExtractor.from_pretrained(weights)
    means = []
    for wave in waves:
        parts = [wave[i : i + 32000] for i in range(0, len(wave), 32000)]
        rows = [processor(part, sampling_rate=16000, return_tensors="pt") for part in parts]
        with torch.no_grad():
            model = library(weights)[0]
            out = [model.get_audio_features(row["input_features"]).pooler_output for row in rows]
        means.append(unit(torch.cat(out)).mean(axis=0))
    values = expected(unit(means), "", lambda texts: text_vectors(weights, texts))
    np.testing.assert_allclose(found(measured), values, atol=1e-4)
    assert measured.parameters["prefix"] == ""
    again = clipscore(media, weights=weights)
    assert (found(again) == found(measured)).all()


LONG = " ".join(["a red circle moves left above a blue square"] * 3)


def test_a_long_caption_is_split_and_this_is_said(weights, pictures):
    media = [{"image": path} for path in pictures[:2]]
    texts = [LONG, "a dog"], [["a dog"], ["dogs"]]
    split = clipscore(media, *texts, weights=weights, prefix="")
    words = LONG.split()
    count = next(
        n
        for n in range(2, 9)
        if max(len(library(weights)[1](part)["input_ids"]) for part in even(words, n)) <= 40
    )
    mean = text_vectors(weights, even(words, count)).mean(axis=0)
    image = picture_vectors(weights, [Image.open(pictures[0]).convert("RGB")])[0]
    assert found(split)[0, 0] == pytest.approx(2.5 * max(unit(mean) @ image, 0), abs=1e-4)
    assert split.parameters["long_caption_count"] == 1
    mentions(split.notes[0], "clipscore: 1 ", " 40 tokens", "split")


def even(words, count):
    ends = [len(words) * i // count for i in range(count + 1)]
    return [" ".join(words[a:b]) for a, b in pairwise(ends)]


def test_a_long_caption_can_be_cut_or_refused(weights, pictures):
    media = [{"image": path} for path in pictures[:2]]
    texts = [LONG, "a dog"], [["a dog"], ["dogs"]]
    cut = clipscore(media, *texts, weights=weights, prefix="", long_captions="cut")
    vector = text_vectors(weights, [LONG], truncation=True, max_length=40)[0]
    image = picture_vectors(weights, [Image.open(pictures[0]).convert("RGB")])[0]
    assert found(cut)[0, 0] == pytest.approx(2.5 * max(vector @ image, 0), abs=1e-4)
    mentions(cut.notes[0], "clipscore: 1 ", "ignored")
    with raises(DataError, "clipscore.long_captions=error: 1 ", " 40 tokens", "(ids a)"):
        clipscore(media, *texts, weights=weights, long_captions="error", prefix="")


def test_an_empty_prediction_scores_0(weights, pictures):
    media = [{"image": path} for path in pictures[:2]]
    measured = clipscore(media, ["", "a dog"], [["a dog"], ["dogs"]], weights=weights)
    assert found(measured)[0].tolist() == [0, 0]
    mentions(measured.notes[-1], "clipscore: 1 of 2 ")


def test_all_files_that_cannot_be_read_are_named_with_their_ids(weights, pictures, tmp_path):
    (tmp_path / "broken.png").write_bytes(pictures[0].read_bytes()[:60])
    media = [
        {"image": pictures[0]},
        {"image": tmp_path / "broken.png"},
        {"image": tmp_path / "none.png"},
        {"video": pictures[1]},
    ]
    with pytest.raises(DataError) as caught:
        clipscore(media, weights=weights, batch_size=1)
    faults_mention(
        caught.value.faults,
        ("id b: ", f"{tmp_path}/broken.png: "),
        ("id c: ", f"{tmp_path}/none.png: "),
        ("id d: ", f"{pictures[1]}: "),
    )


def test_samples_without_media_are_named(weights, pictures):
    media = [{"image": pictures[0]}, {}, {"audio": Path("a.wav")}, {"image": pictures[0]}]
    with pytest.raises(DataError) as caught:
        clipscore(media, weights=weights)
    faults_mention(
        caught.value.faults,
        ("id b: ", "no file", "image"),
        ("id c: ", "only audio", "image"),
    )
    with raises(DataError, "clipscore: ", "manifest"):
        clipscore(None, weights=weights)


def test_a_model_that_compares_nothing_with_texts_is_refused(folder, pictures):
    weights = roberta(folder / "roberta")
    with raises(ConfigError, f"clipscore.weights={weights}: ", "roberta", "pictures"):
        clipscore([{"image": path} for path in pictures], weights=weights)


@pytest.fixture(scope="module")
def trained(place, contrastive):
    """The run folder of a tiny dual encoder of mmtx."""
    return str(place / contrastive.partition("=")[2])


def test_a_dual_encoder_of_mmtx_gives_the_cosines_of_the_python_api(trained, pictures):
    import mmtx_cli

    media = [{"image": path} for path in pictures]
    measured = clipscore(media, ckpt=trained, long_captions="cut")
    model = mmtx_cli.load(trained, device="cpu")
    cosines = model.score([str(path) for path in pictures], PREDICTIONS).diagonal()
    values = 2.5 * np.maximum(cosines.astype(np.float64), 0)
    np.testing.assert_allclose(found(measured)[:, 0], values, atol=1e-4)
    texts = [unit(model.embed(texts=x)["contrastive.text"]) for x in (PREDICTIONS, *REFERENCES)]
    best = [max(0, (texts[0][i] @ texts[i + 1].T).max()) for i in range(4)]
    total = np.maximum(values + best, 1e-9)
    np.testing.assert_allclose(found(measured)[:, 1], 2 * values * best / total, atol=1e-4)
    assert measured.parameters["prefix"] == ""
    assert measured.parameters["head"] == "contrastive"
    assert measured.parameters["weights_hash"] == weights_hash(model.network)[:16]


def test_files_that_a_model_of_mmtx_cannot_read_are_named(trained, pictures, tmp_path):
    media = [{"image": path} for path in pictures]
    media[2] = {"image": tmp_path / "none.png"}
    with pytest.raises(DataError) as caught:
        clipscore(media, ckpt=trained)
    faults_mention(caught.value.faults, ("id c: ", f"{tmp_path}/none.png: "))
    assert caught.value.faults[0].count("none.png") == 1


def test_long_captions_of_a_model_of_mmtx_are_counted(trained, pictures):
    media = [{"image": path} for path in pictures[:2]]
    measured = clipscore(media, ["a dog " * 60, "a"], [["a dog"], ["dogs"]], ckpt=trained)
    assert measured.parameters["long_caption_count"] == 1
    mentions(measured.notes[0], "clipscore: 1 ", f" {measured.parameters['max_tokens']} tokens")


def test_a_captioner_of_mmtx_is_refused(place, captioner, pictures):
    folder = str(place / AWKWARD_NAME / "captioner")
    with raises(ConfigError, f"clipscore.ckpt={folder}: ", "head=contrastive"):
        clipscore([{"image": path} for path in pictures], ckpt=folder)
