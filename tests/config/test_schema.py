from dataclasses import MISSING, fields, is_dataclass

import pytest
from omegaconf import OmegaConf

from mmtx_cli.config.constraints import ALLOWED_VALUES, BOUNDS, LENGTHS, limit_faults, select
from mmtx_cli.config.help.settings import attribute_docs, section_rows
from mmtx_cli.config.root_types import TYPES
from mmtx_cli.config.schema import SECTIONS
from mmtx_cli.config.validate import list_fields, settings_faults, subsections
from tests.messages import faults_mention


def every(path, schema):
    """(config path, its default) of every setting, those of subsections too."""
    below = subsections(schema)
    for field in fields(schema):
        if field.name in list_fields(schema):
            yield f"{path}.{field.name}", field.default
        elif field.name in below:
            yield from every(f"{path}.{field.name}", below[field.name])
        else:
            made = field.default_factory is not MISSING
            yield f"{path}.{field.name}", field.default_factory() if made else field.default


DEFAULTS = dict(pair for name, schema in SECTIONS.items() for pair in every(name, schema))


def nested(path, value):
    """A plain configuration that holds one value."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


@pytest.mark.parametrize("name", SECTIONS)
def test_defaults_are_sound(name):
    schema = SECTIONS[name]
    assert is_dataclass(schema)
    plain = OmegaConf.to_container(OmegaConf.structured(schema))
    assert list(settings_faults(name, plain, schema)) == []
    assert list(limit_faults({name: plain})) == []


def test_limits_name_existing_settings():
    root = {*TYPES, "split", "modality_subsets"}
    assert {*BOUNDS, *LENGTHS, *ALLOWED_VALUES} - root <= {*DEFAULTS}


@pytest.mark.parametrize("path", BOUNDS)
def test_bounds_hold_at_both_ends(path):
    least, most = BOUNDS[path]
    many = LENGTHS.get(path, 0)
    for value in (least, most):
        assert list(limit_faults(nested(path, [value] * many if many else value))) == []
    for value in (least - 1, most * 2 + 1):
        (fault,) = limit_faults(nested(path, [least, value] if many else value))
        assert fault.startswith(f"{path}: ")


@pytest.mark.parametrize("path", ALLOWED_VALUES)
def test_words_are_chosen_from_a_list(path):
    for word in ALLOWED_VALUES[path]:
        assert list(limit_faults(nested(path, word))) == []
    found = [*limit_faults(nested(path, "quux"))]
    faults_mention(found, (f"{path}: ", "'quux'", ", ".join(ALLOWED_VALUES[path])))


@pytest.mark.parametrize("devices", [1, 8, -1, "auto", "2", "0,2", "1,"])
def test_devices(devices):
    assert list(limit_faults({"trainer": {"devices": devices}})) == []


@pytest.mark.parametrize("devices", [0, -2, "many", "", "0;1"])
def test_what_is_no_device(devices):
    (fault,) = limit_faults({"trainer": {"devices": devices}})
    assert fault.startswith("trainer.devices: ")


def test_lists_have_their_length():
    found = [*limit_faults({"optimizer": {"betas": [0.9]}})]
    faults_mention(found, ("optimizer.betas: ", "[0.9]", " 1 ", " 2"))


def test_limits_leave_other_types_to_the_type_check():
    strange = {"data": 3, "optimizer": None, "trainer": {"max_steps": "x"}, "seed": True}
    assert list(limit_faults(strange)) == []
    assert select(strange, "data.batch_size") is None


def test_every_setting_has_a_line_of_help():
    for name, kind in SECTIONS.items():
        listed = [key.partition("=")[0] for key, _ in section_rows("finetune", name, kind, {})]
        assert [key for key in listed if key in DEFAULTS] == [
            key for key in DEFAULTS if key.startswith(f"{name}.")
        ]


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_has_a_docstring(name):
    assert SECTIONS[name].__doc__.startswith(f"``{name}``: ")
    assert set(attribute_docs(SECTIONS[name])) <= {field.name for field in fields(SECTIONS[name])}
