"""Plan a run: measure it, print the plan and write it to the run folder."""

from collections.abc import Sequence

from mmtx_cli.planning.folder import write_plan
from mmtx_cli.planning.inference_plan import plan_inference
from mmtx_cli.planning.show import print_plan
from mmtx_cli.planning.training_plan import plan_training
from mmtx_cli.runs.run_config import RunConfig, TrainConfig


def plan_run(run: RunConfig, before: float, paths: Sequence[str] = ()) -> None:
    """Print the plan of a run and write it; the file's path is the last line.

    Args:
        run: The settings.
        before: Seconds that a command takes until it has its settings.
        paths: The files that ``mmtx caption`` reads.
    """
    if isinstance(run, TrainConfig):
        plan = plan_training(run, before)
    else:
        plan = plan_inference(run, before, paths)
    path = write_plan(run.run_dir, plan)
    print_plan(plan)
    print(path)
