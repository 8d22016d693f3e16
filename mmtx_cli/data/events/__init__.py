from mmtx_cli.data.events.make import make_events

__all__ = ["make_events"]
