from mmtx_cli.data.lab.make import make_lab

__all__ = ["make_lab"]
