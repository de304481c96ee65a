"""Images from their hosts into tars, by img2dataset with this project's own fetch function."""

import os

# img2dataset imports albumentations, which else asks the internet for its newest version.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
