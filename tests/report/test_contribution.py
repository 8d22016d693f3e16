from mmtx_cli.report.contribution import contribution_table

PART = {"metrics": {"accuracy": 0.6, "f1": 0.5}, "change": {"accuracy": -0.25, "f1": -0.2}}
INTERVALS = {"intervals": {"accuracy": [-0.3, -0.2], "f1": [-0.3, -0.1]}}


def test_a_row_a_modality_and_a_column_a_change():
    kinds = {"shuffled": PART | INTERVALS, "probe": {"metrics": {"accuracy": 0.7}}}
    table = contribution_table({"digits": {"image": kinds, "audio": {"alone": PART | INTERVALS}}})
    assert table is not None
    assert [(row.head, row.name) for row in table.rows] == [
        ("digits/accuracy", "image"),
        ("digits/accuracy", "audio"),
    ]
    shown = "0.600\n-0.250 [-0.300, -0.200]"
    assert table.rows[0].cells == [shown, "", "", "", "0.700"]
    assert table.rows[1].cells == ["", "", "", shown, ""]


def test_nothing_to_show():
    assert contribution_table(None) is None
    assert contribution_table({}) is None
