"""Rows of a manifest that are new to a model: targets are not looked at, files may be missing."""

import json

from PIL import Image

from mmtx_cli.io.quoting import quoted
from tests.messages import mentions_missing
from tests.predicting import model_folder, predict


def test_each_row_has_a_line(tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    rows = [
        {"id": "a", "image": "a.png", "text": "why", "captions": [], "answers": {}, "label": []},
        {"id": "b", "image": "missing.png", "text": "why"},
        {"id": "c", "image": "a.png", "text": "why", "label": {"x": 1}, "captions": 3},
    ]
    path = tmp_path / "m.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "m.yaml").write_text("label_names: [other]\n")
    folder = model_folder(tmp_path / "model", ["classification"])
    args = [f"ckpt={quoted(folder)}", f"data.path={quoted(path)}"]
    first, second, third = predict(tmp_path / "run", *args)
    assert first["id"] == "a"
    assert first["classification"] == third["classification"]
    assert second["id"] == "b"
    mentions_missing(second["error"])
    (predicted,) = predict(tmp_path / "year", args[0], "text=2024")
    assert predicted["text"] == "2024"
