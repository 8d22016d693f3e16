from mmtx_cli.report.contribution import contribution_table, unused_modalities
from tests.messages import faults_mention

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


def shuffled(metric, low, high):
    part = {"metrics": {metric: 0.5, "top5": 0.9}, "change": {metric: (low + high) / 2}}
    return {"shuffled": part | {"intervals": {metric: [low, high]}}}


def test_a_modality_that_may_be_another_samples_is_not_used():
    found = {
        "digits": {
            "image": shuffled("accuracy", -0.3, -0.1),
            "text": shuffled("accuracy", -0.02, 0.04),
        },
        "score": {"audio": shuffled("mae", 0.1, 0.3), "video": shuffled("mae", -0.2, 0.1)},
    }
    assert unused_modalities(found) == [
        "digits does not use text: accuracy is not worse with text from another sample "
        "(+0.010 [-0.020, +0.040]).",
        "score does not use video: mae is not worse with video from another sample "
        "(-0.050 [-0.200, +0.100]).",
    ]
    assert unused_modalities(None) == []


def test_nothing_to_show():
    assert contribution_table(None) is None
    assert contribution_table({}) is None


def test_it_is_known_which_way_every_metric_is_better():
    worse = {"text": {"image": shuffled("perplexity", 20.0, 40.0)}}
    assert unused_modalities(worse) == []
    (predicted,) = unused_modalities({"text": {"image": shuffled("perplexity", -1.0, 2.0)}})
    faults_mention([predicted], ("text ", " image: ", "another sample", "perplexity "))
    assert unused_modalities({"mine": {"image": shuffled("score", -0.2, 0.1)}}) == []
