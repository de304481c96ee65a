"""What a message must contain: the key, file, value and remedy that it names, and not its wording."""

import re


def says(text: str, *parts: str) -> bool:
    """Whether a text contains the parts, in this order, whatever stands between them."""
    return re.search(".*".join(map(re.escape, parts)), text, re.DOTALL) is not None
