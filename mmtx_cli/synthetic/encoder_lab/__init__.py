from mmtx_cli.synthetic.encoder_lab.make import make_encoder_lab

__all__ = ["make_encoder_lab"]
