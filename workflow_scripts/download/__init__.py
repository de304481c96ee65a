"""Download images into tars, by img2dataset with this project's own fetch function."""

import os

# img2dataset imports albumentations, which otherwise looks for updates on the internet.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
