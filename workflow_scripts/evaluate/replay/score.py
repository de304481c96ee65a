"""Score held-out replay pairs: match each image to its caption among all distinct captions."""

from workflow_scripts.common.geometry import unit
from workflow_scripts.common.protocols import CORRECTED
from workflow_scripts.evaluate.measures import Outcome
from workflow_scripts.evaluate.replay.texts import TEMPLATES, captions_of
from workflow_scripts.evaluate.scoring import Embedded, ModelResult, Task, score_command
from workflow_scripts.evaluate.zero_shot import predictions, zero_shot, zero_shot_measures


def score_model(task: Task, embedded: Embedded) -> ModelResult:
    """Score how often an image's own caption is the nearest."""
    classes = captions_of(task.table)
    images, captions = len(task.table), len(classes.names)
    given = {CORRECTED: (unit(embedded.features.vectors), classes)}
    found = zero_shot(embedded.clip, given, TEMPLATES)
    outcome = Outcome(zero_shot_measures(found), images, captions, 1 / captions)
    return ModelResult(outcome, predictions(task.table, classes, found[CORRECTED]))


if __name__ == "__main__":
    score_command(score_model)
