"""``mmtx serve``: caption files that are sent to a local HTTP server, or dropped on its page."""

from importlib.util import find_spec

from omegaconf import DictConfig

from mmtx_cli.errors import ConfigError
from mmtx_cli.runs.inherit import inherit
from mmtx_cli.runs.resolve import checked_config
from mmtx_cli.runs.run_config import ServeConfig
from mmtx_cli.runs.vlm import stored_model


def run(cfg: DictConfig) -> None:
    """Serve until a signal arrives."""
    if not cfg.ckpt and not cfg.get("vlm"):
        raise ConfigError("ckpt: required; set ckpt=RUN (a run folder, .ckpt or model folder)")
    if missing := [name for name in ("starlette", "uvicorn") if find_spec(name) is None]:
        raise ConfigError(
            f"serve: needs {' and '.join(missing)}, which are not installed; "
            "pip install 'mmtx[serve]'"
        )
    stored = stored_model(cfg)
    inherit(cfg, stored)
    settings = checked_config(ServeConfig, cfg, stored)
    from mmtx_cli.server.run import serve

    serve(settings)
