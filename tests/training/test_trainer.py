import warnings
from types import SimpleNamespace

import pytest
from torch import nn

from mmtx_cli.distributed.lightning import pl
from mmtx_cli.training.trainer import silence_lightning


def test_no_warning_about_frozen_modules_in_eval_mode():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
        module = SimpleNamespace(named_modules=nn.ReLU().eval().named_modules)
        trainer.strategy._lightning_module = module
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="in eval mode"):
            trainer.fit_loop._warn_if_modules_in_eval_mode()
        silence_lightning()
        trainer.fit_loop._warn_if_modules_in_eval_mode()
