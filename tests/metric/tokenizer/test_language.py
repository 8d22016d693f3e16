import pytest

from mmtx_cli.metric.tokenizer.language import UNDETERMINED, language_of, script_of, scripts_of

LANGUAGES = {
    "zh": ["一只狗在草地上奔跑。", "两个男人骑着红色的自行车", "用 iPhone 拍照的女孩"],
    "ja": ["犬が草の上を走っている", "赤い自転車に乗る二人の男性", "風船を持つ女の子"],
    "ko": ["개가 풀밭을 달린다", "빨간 자전거를 타는 두 남자"],
    "th": ["สุนัขวิ่งบนหญ้า", "ผู้ชายสองคนขี่จักรยานสีแดง"],
    "lo": ["ໝາແລ່ນຢູ່ໃນຫຍ້າ"],
    "km": ["ឆ្កែរត់លើស្មៅ"],
    "my": ["ခွေးသည်မြက်ပေါ်တွင်ပြေးသည်"],
    UNDETERMINED: [
        "a dog runs",
        "một người đàn ông đứng trên đỉnh núi tuyết",
        "собака бежит по траве",
        "كلب يركض على العشب",
        "כלב רץ על הדשא",
        "कुत्ता घास पर दौड़ता है",
    ],
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_language_is_found_by_the_script(language):
    for caption in LANGUAGES[language]:
        assert language_of(scripts_of([caption])) == language


def test_japanese_captions_without_kana_are_not_chinese():
    captions = ["犬が草の上を走る"] * 10 + ["二人男性自転車"]
    assert scripts_of(captions) == {"kana": 11}
    # one kana among hundreds of Chinese captions makes none Japanese
    captions = ["一只狗在草地上"] * 100 + ["の"]
    assert scripts_of(captions) == {"Han": 100, "kana": 1}


@pytest.mark.parametrize("caption", ["", "12 3", "🐶🎈", "… !", "①"])
def test_captions_without_letters_have_no_script(caption):
    assert script_of(caption) is None


def test_names_of_scripts():
    assert script_of("Собака 2") == "Cyrillic"
    assert script_of("ｶﾀｶﾅ") == "kana"
    assert script_of("e\u0301te\u0301") == "Latin"
    assert script_of("ＡＢＣ") == "Latin"
    assert language_of(scripts_of([])) == UNDETERMINED
