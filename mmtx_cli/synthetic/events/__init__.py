from mmtx_cli.synthetic.events.make import make_events

__all__ = ["make_events"]
