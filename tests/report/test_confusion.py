from mmtx_cli.report.confusion import confusion


def test_rows_are_labels_and_columns_predictions() -> None:
    table = confusion([("a", "a"), ("a", "b"), ("a", "a"), ("b", "c")])
    assert table is not None
    assert table.classes == ["a", "b", "c"]
    assert [[cell.count for cell in row.cells] for row in table.rows] == [
        [2, 1, 0],
        [0, 0, 1],
        [0, 0, 0],
    ]
    assert [row.recall for row in table.rows] == [2 / 3, 0.0, None]
    assert table.rows[0].cells[0].hit
    assert table.rows[0].cells[1].share == 1 / 3


def test_numbers_are_in_order_of_value() -> None:
    table = confusion([("10", "2"), ("x", "1")])
    assert table is not None
    assert table.classes == ["1", "2", "10", "x"]


def test_too_many_or_too_few_classes_make_no_table() -> None:
    assert confusion([(str(i), str(i)) for i in range(31)]) is None
    assert confusion([("a", "a")]) is None
    assert confusion([]) is None
