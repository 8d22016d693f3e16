from mmtx_cli.synthetic.scenes.make import make_scenes

__all__ = ["make_scenes"]
