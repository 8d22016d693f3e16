import json
from collections import Counter, defaultdict

import pytest
from PIL import Image

from mmtx_cli.data.importer import easy_vqa, vqa
from mmtx_cli.errors import ConfigError, DataError
from tests.messages import faults_mention, mentions, raises


def faults_of(rows):
    with pytest.raises(DataError) as caught:
        list(rows)
    return caught.value.faults


class TestVqa:
    @pytest.fixture
    def questions(self):
        return {
            "data_type": "mscoco",
            "data_subtype": "train2014",
            "questions": [
                {
                    "image_id": 458752,
                    "question": "What is\nit?",
                    "question_id": 458752000,
                },
                {"image_id": 9, "question": "Is it red?", "question_id": 9001},
            ],
        }

    @pytest.fixture
    def annotations(self):
        return {
            "annotations": [
                self.annotation(9001, "yes/no", ["yes"] * 6 + ["no"] * 3 + ["Yes"]),
                self.annotation(458752000, "other", ["new  york", "net", "net", " "]),
            ]
        }

    def annotation(self, ident, kind, texts):
        answers = [{"answer": text, "answer_id": i} for i, text in enumerate(texts, 1)]
        return {"question_id": ident, "image_id": 9, "answer_type": kind, "answers": answers}

    def rows(self, tmp_path, questions, annotations=None, subtype=None):
        (tmp_path / "q.json").write_text(json.dumps(questions))
        if annotations is not None:
            (tmp_path / "a.json").write_text(json.dumps(annotations))
        given = None if annotations is None else tmp_path / "a.json"
        return vqa.rows(tmp_path / "q.json", given, "train2014", "train")

    def test_rows(self, tmp_path, questions, annotations):
        places, rows = zip(*self.rows(tmp_path, questions, annotations), strict=True)
        assert places == tuple(f"{tmp_path}/q.json: questions[{i}]" for i in range(2))
        assert list(rows) == [
            {
                "id": "458752000",
                "split": "train",
                "image": "train2014/COCO_train2014_000000458752.jpg",
                "text": "What is it?",
                "answers": {"net": 2, "new york": 1},
                "group": "other",
            },
            {
                "id": "9001",
                "split": "train",
                "image": "train2014/COCO_train2014_000000000009.jpg",
                "text": "Is it red?",
                "answers": {"yes": 6, "no": 3, "Yes": 1},
                "group": "yes/no",
            },
        ]

    @pytest.mark.parametrize("subtype", ["test2015", "test-dev2015"])
    def test_questions_of_the_test_have_no_answers(self, tmp_path, questions, subtype):
        rows = [row for _, row in self.rows(tmp_path, {**questions, "data_subtype": subtype})]
        assert rows[1]["image"] == "train2014/COCO_test2015_000000000009.jpg"
        assert not any({"answers", "group"} & row.keys() for row in rows)

    def test_faults(self, tmp_path, questions, annotations):
        questions["questions"] += [
            {"image_id": 9, "question": " ", "question_id": 1},
            {"image_id": 9, "question": "again?", "question_id": 9001},
            {"image_id": "COCO_9", "question": "where?", "question_id": 2},
            {"image_id": 9, "question": "unanswered?", "question_id": 3},
            "no entry",
        ]
        annotations["annotations"] += [
            self.annotation(7, "other", ["stray"]),
            self.annotation(9001, "other", ["again"]),
            self.annotation(9001, "other", [""]),
        ]
        faults = faults_of(self.rows(tmp_path, questions, annotations))
        q, a = f"{tmp_path}/q.json: questions", f"{tmp_path}/a.json: annotations"
        faults_mention(
            faults,
            (f"{q}[2]: ", "question"),
            (f"{q}[3]: ", "question_id 9001 ", f"{q}[1]"),
            (f"{q}[4]: ", "image_id 'COCO_9' "),
            (f"{q}[6]: ", "question_id"),
            (f"{a}[2]: ", "question_id 7 ", "questions"),
            (f"{a}[3]: ", "question_id 9001 ", "answers"),
            (f"{a}[4]: ", "question_id", "answers"),
            (f"{q}[5]: ", "question_id 3 ", "answers", f"{tmp_path}/a.json"),
        )
        assert all("download" in fault for fault in faults)

    def test_other_files(self, tmp_path, questions, annotations):
        def refusal(*files):
            return str(faults_of(self.rows(tmp_path, *files)))

        mentions(refusal(annotations), "q.json: ", "'questions'", "VQA questions")
        mentions(refusal(questions, questions), "a.json: ", "'annotations'")
        mentions(refusal({**questions, "questions": []}), "q.json: ", "'questions'", "empty")
        mentions(
            refusal({"questions": questions["questions"]}),
            "q.json: ",
            "data_subtype",
            "train2014",
        )
        abstract = {**questions, "data_type": "abstract_v002"}
        mentions(refusal(abstract), "q.json: ", "data_type 'abstract_v002'", "mscoco")
        mentions(
            faults_of(vqa.rows("no", None, "x", "val")), "no: ", "questions= ", "VQA questions"
        )


class TestEasyVqa:
    def folder(self, tmp_path, **parts):
        for part, questions in parts.items():
            (tmp_path / part / "images").mkdir(parents=True, exist_ok=True)
            (tmp_path / part / "questions.json").write_text(json.dumps(questions))
        return tmp_path

    def test_rows(self, tmp_path):
        train = [["what shape?", "circle", 0], ["is it red?", "no", 0]]
        folder = self.folder(tmp_path, train=train, test=[["is it red?", "yes", 7]])
        places, rows = zip(*easy_vqa.rows(folder, seed=0), strict=True)
        assert places[1:] == (
            f"{tmp_path}/train/questions.json: [1]",
            f"{tmp_path}/test/questions.json: [0]",
        )
        assert [row["id"] for row in rows] == ["train-0-1", "train-0-2", "test-7-1"]
        assert rows[2] == {
            "id": "test-7-1",
            "split": "test",
            "image": f"{tmp_path}/test/images/7.png",
            "text": "is it red?",
            "label": "yes",
            "answers": {"yes": 1},
        }

    def test_all_questions_about_an_image_are_in_one_split(self, tmp_path):
        asked = [[f"question {i}?", "yes", image] for i in range(3) for image in range(2000)]
        folder = self.folder(tmp_path, train=asked, test=[["is it red?", "yes", 0]])
        splits = defaultdict(set)
        for _, row in easy_vqa.rows(folder):
            splits[row["image"]].add(row["split"])
        count = Counter(split for several in splits.values() for split in several)
        assert count.total() == len(splits) == 2001
        assert count["test"] == 1
        assert 60 < count["val"] < 140  # 100 of 2,000; one in 10,000 draws falls outside
        again = {row["image"]: row["split"] for _, row in easy_vqa.rows(folder)}
        assert again == {image: min(several) for image, several in splits.items()}
        other = {row["image"]: row["split"] for _, row in easy_vqa.rows(folder, seed=1)}
        assert other != again

    def test_faults(self, tmp_path):
        bad = [["what?", "red", 0], ["what?", "red"], ["what?", "red", "0"], ["", "red", 1], "x"]
        folder = self.folder(tmp_path, train=bad, test=[])
        message = faults_of(easy_vqa.rows(folder))
        assert [fault.partition("]")[0][-1] for fault in message] == ["1", "2", "3", "4"]
        assert all("[question, answer, image]" in fault for fault in message)
        folder = self.folder(tmp_path, train=bad[:1])
        faults = faults_of(easy_vqa.rows(folder))
        faults_mention(faults, (f"{folder}/test/questions.json: ", "list", "questions"))
        missing = faults_of(easy_vqa.rows(tmp_path / "no"))
        faults_mention(missing, (f"{tmp_path}/no/", "images= ", "train and test"))

    def test_a_package_that_is_missing(self, monkeypatch):
        monkeypatch.setattr(easy_vqa, "find_spec", lambda name: None)
        with raises(ConfigError, "installed", "pip install mmtx[easy-vqa]"):
            easy_vqa.package_folder()

    @pytest.mark.slow
    def test_the_real_package(self):
        pytest.importorskip("easy_vqa", reason="needs the package easy-vqa")
        rows = [row for _, row in easy_vqa.rows(easy_vqa.package_folder())]
        images, labels, count = defaultdict(set), set(), Counter()
        for row in rows:
            count[row["split"]] += 1
            images[row["split"]].add(row["image"])
            labels.add(row["label"])
        assert (count["train"] + count["val"], count["test"]) == (38_575, 9_673)
        assert not images["train"] & images["val"]
        assert len(labels) == 13
        assert len({row["id"] for row in rows}) == len(rows)
        assert Image.open(rows[-1]["image"]).size == (64, 64)
