"""Steps import what their work needs, and no more."""

import re
import subprocess
import sys
from pathlib import Path

from tests.common.light_steps import COMMANDS, LIGHT, ROOT, WITH_IMAGES, WITH_TORCH

# Seconds and hundreds of MB each: imported in the function that works with them.
HEAVY = ("torch", "open_clip", "sklearn", "scipy", "pandas", "webdataset", "img2dataset", "mlcroissant", "matplotlib")
# After each import, what it brought of the heavy ones.
PROBE = """
import sys, importlib
heavy = sys.argv[1].split()
for module in sys.argv[2:]:
    importlib.import_module(f"workflow_scripts.{module}")
    for found in [name for name in heavy if name in sys.modules]:
        print(module, "imports", found)
        heavy.remove(found)
"""
WORK = """
import sys
from pathlib import Path
from workflow_scripts.common.tars import write_tar
from workflow_scripts.common.torchless import torch_hidden
from workflow_scripts.download import engine

folder = Path(sys.argv[1])
write_tar(folder / "a.tar", [("a" * 32, {"txt": b"a fox"})])
with torch_hidden():
    from webdataset.tariterators import tarfile_samples
assert [sample["txt"] for sample in tarfile_samples([{"url": str(folder / "a.tar")}])] == [b"a fox"]
with engine.fetching_by(lambda number: (number, None, None)):
    pass
assert not {"torch", "albumentations", "wandb"} & sys.modules.keys()
import albumentations, torch
assert albumentations.HorizontalFlip and __import__("wandb").init
assert torch.ones(2).sum() == 2
"""


def printed_by(code: str, *words: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_commands_that_need_no_torch_and_no_scikit_learn_import_none() -> None:
    assert WITH_TORCH < COMMANDS
    assert set(LIGHT) > WITH_IMAGES
    assert printed_by(PROBE, " ".join(HEAVY), *LIGHT) == ""


def test_commands_that_decode_no_image_import_no_decoder() -> None:
    assert printed_by(PROBE, "cv2 simplejpeg PIL", *sorted(set(LIGHT) - WITH_IMAGES)) == ""


def test_no_command_imports_frames_and_plots_before_it_works_with_them() -> None:
    assert printed_by(PROBE, "polars plotly", *sorted(COMMANDS)) == ""


def test_commands_that_need_torch_import_no_scikit_learn_and_no_compiler() -> None:
    # torch itself imports pandas and scipy where it finds them.
    heavy = "sklearn webdataset img2dataset mlcroissant torch._dynamo.utils"
    assert printed_by(PROBE, heavy, *sorted(WITH_TORCH)) == ""


def test_webdataset_and_img2dataset_work_without_torch_which_can_still_be_imported(tmp_path: Path) -> None:
    assert printed_by(WORK, str(tmp_path)) == ""


# Of rows that go into JSON or HTML as they are.
FOR_JSON_OR_HTML = {"report/by_class.py", "report/corpora.py", "report/build.py"}


def test_tables_are_not_turned_into_lists_in_evaluate_and_report_but_for_json_and_html() -> None:
    package = ROOT / "workflow_scripts"
    turned = {
        path.relative_to(package).as_posix()
        for stage in ("evaluate", "report")
        for path in (package / stage).rglob("*.py")
        if re.search(r"\.(to_pylist|to_dicts)\b|\.rows\(named", path.read_text())
    }
    assert turned <= FOR_JSON_OR_HTML
