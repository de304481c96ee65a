"""Settings of the share of rows that a stage may lose."""

from typing import Annotated

from pydantic import Field

from workflow_scripts.common.config.base import Section

Share = Annotated[float, Field(ge=0, le=1)]
# Name of the replay pairs in `sources`.
REPLAY = "replay"


class LossSettings(Section):
    """Maximum share of a source's rows that a stage may lose. Changing it only repeats the check.

    Rows left out by settings or as duplicates (`select`, licences) do not count as lost.
    """

    network: Share = Field(0.5, description="Allowed share of images downloaded over the network.")
    files: Share = Field(0.1, description="Allowed share of images that are local files.")
    sources: dict[str, Share] = Field(
        default_factory=dict,
        description=f"Allowed share by source name. 1 allows any loss. `{REPLAY}` is the replay pairs.",
    )

    def of(self, source: str, *, is_local: bool) -> float:
        """The maximum share that a source may lose."""
        return self.sources.get(source, self.files if is_local else self.network)
