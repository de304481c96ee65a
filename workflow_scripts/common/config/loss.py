"""Share of rows that a stage may lose."""

from typing import Annotated

from pydantic import Field

from workflow_scripts.common.config.base import Section

Share = Annotated[float, Field(ge=0, le=1)]
# How `sources` names the replay pairs.
REPLAY = "replay"


class LossSettings(Section):
    """Share of a source's rows that a stage may lose before the run stops. Changing it only checks again.

    Rows that settings or the corpus itself leave out (`select`, licences, duplicates) are not lost.
    """

    network: Share = Field(0.5, description="Allowed share of images fetched over the network.")
    files: Share = Field(0.1, description="Allowed share of images that are local files.")
    sources: dict[str, Share] = Field(
        default_factory=dict,
        description=f"Allowed share by source; 1 allows any loss. `{REPLAY}` means the replay pairs.",
    )

    def of(self, source: str, *, is_local: bool) -> float:
        """The share that a source may lose."""
        return self.sources.get(source, self.files if is_local else self.network)
