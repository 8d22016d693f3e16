from mmtx_cli.synthetic.fusion_lab.make import make_lab

__all__ = ["make_lab"]
