"""METEOR 1.5 (Denkowski and Lavie, 2014) without Java."""

from mmtx_cli.metric.scores import Metric

METRICS = (Metric("meteor"),)
