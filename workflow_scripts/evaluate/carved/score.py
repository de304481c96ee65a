"""Score species carved out of the corpus as a classification benchmark: zero-shot and few-shot."""

from workflow_scripts.evaluate.csv.score import score_model
from workflow_scripts.evaluate.scoring import score_command

if __name__ == "__main__":
    score_command(score_model)
