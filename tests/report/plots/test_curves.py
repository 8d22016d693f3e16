from mmtx_cli.report.plots.curves import Curve, curves
from tests.messages import mentions

ROWS = [
    {"step": "1", "epoch": "0", "train/loss": "9.0", "lr": "1e-4"},
    {"step": "2", "epoch": "0", "train/loss": "0.1", "train/caption/loss": "2"},
    {"step": "2", "epoch": "0", "val/loss": "3.0", "val/caption/cider": "0.5"},
    {"step": "3", "epoch": "1", "train/loss": "nan", "train/caption/loss": "1", "lr": "2e-4"},
    {"step": "4", "epoch": "1", "val/loss": "4.0", "val/caption/cider": "0.6"},
]


def by_name(rows: list[dict]) -> dict[str, Curve]:
    return {curve.name: curve for curve in curves(rows)}


def test_train_and_val_of_a_quantity_share_a_plot_and_losses_come_first() -> None:
    found = by_name(ROWS)
    assert list(found) == ["loss", "caption/loss", "caption/cider", "lr"]
    assert [line.name for line in found["loss"].lines] == ["train", "val"]
    assert [curve.small for curve in found.values()] == [False, False, False, True]


def test_describes_the_plot_in_words() -> None:
    found = by_name(ROWS)
    train, val = found["loss"].summary.split("; ")
    mentions(train, "train 0.100 ", "step 2")
    mentions(val, "val 4.00 ", "step 4", "lowest 3.00 ", "step 2", "logarithmic")
    mentions(found["caption/cider"].summary, "val 0.600 ", "step 4")


def test_a_band_is_explained() -> None:
    rows = [{"step": str(i), "train/loss": str(2 + i % 2), "lr": "1"} for i in range(151)]
    found = by_name(rows)
    mentions(found["loss"].summary, "; band: ", "minimum", "maximum")
    assert "band" not in by_name(rows[:150])["loss"].summary


def test_a_split_keeps_its_color() -> None:
    assert [line.color for line in by_name(ROWS)["caption/cider"].lines] == [1]


def test_single_points_and_words_are_no_curves() -> None:
    rows = [{"step": "1", "train/loss": "1", "note": "a"}, {"step": "2", "note": "b"}]
    assert curves(rows) == []
    assert curves([]) == []


def test_steps_may_be_epochs_or_rows() -> None:
    for rows in ([{"epoch": "5", "x": "1"}, {"epoch": "6", "x": "2"}], [{"x": "1"}, {"x": "2"}]):
        assert len(curves(rows)[0].lines[0].steps) == 2
