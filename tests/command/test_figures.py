"""The tables of figures on the terminal."""

from mmtx_cli.command.figures import subset_table


def part(*names):
    return {"metrics": dict.fromkeys(names, 0.5), "intervals": dict.fromkeys(names, (0.4, 0.6))}


def test_every_head_is_shown_by_its_headlines_or_by_its_first_metric():
    measured = part("number/mae", "number/pearson", "label/top5_accuracy", "label/accuracy")
    table = subset_table({"image + audio": measured, "image": measured})
    shown = [column.header for column in table.columns]
    assert shown == ["modalities", "number/mae", "label/accuracy"]
    assert list(table.columns[1].cells) == ["0.500 [0.400, 0.600]"] * 2
