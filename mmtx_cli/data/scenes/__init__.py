from mmtx_cli.data.scenes.make import make_scenes

__all__ = ["make_scenes"]
