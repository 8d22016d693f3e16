"""Keys of an experiment for another choice than the selected one."""

from tests.command_line import refused
from tests.messages import mentions

ARGS = ("experiment=events_caption", "decoder=huggingface", "decoder.weights=lm")


def lines(*args, cwd):
    message = refused("finetune", *ARGS, *args, cwd=cwd)
    return {line.split(":")[0].split()[-1]: line for line in message.splitlines() if ": " in line}


def test_the_message_says_how_to_remove_it(tmp_path):
    found = lines("connector=prefix", "decoder.dropot=0", cwd=tmp_path)
    mentions(found["decoder.dropout"], "experiment=events_caption", "~decoder.dropout")
    assert "experiment" not in found["decoder.dropot"]


def test_it_is_removed(tmp_path):
    found = lines("connector=prefix", "~decoder.dropout", cwd=tmp_path)
    assert "decoder.dropout" not in found


def test_of_an_encoder(tmp_path):
    found = lines("encoder/audio=ast", cwd=tmp_path)
    mentions(
        found["encoder.audio.channels"], "experiment=events_caption", "~encoder.audio.channels"
    )
