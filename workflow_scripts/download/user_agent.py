"""Who asks, as hosts are told: the site's name or the project's, and a contact."""

from dataclasses import dataclass

from workflow_scripts.common.config.site import PRODUCT, check_product
from workflow_scripts.common.errors import InputError


@dataclass(frozen=True)
class UserAgent:
    """The user agent of every request.

    Attributes:
        product: a name, with a version after a slash where there is one.
        contact: mail or web address, where a host's policy has none.

    Raises:
        InputError: one of them cannot stand in a user agent.
    """

    product: str = PRODUCT
    contact: str | None = None

    def __post_init__(self) -> None:
        try:
            check_product(self.product)
        except ValueError as error:
            raise InputError(str(error)) from None
        self.text()

    @property
    def names(self) -> set[str]:
        """The names by which an X-Robots-Tag may address these requests."""
        return {self.product.partition("/")[0].lower(), PRODUCT, "img2dataset"}

    def text(self, contact: str | None = None) -> str:
        """The header's value for a host with a contact of its own, or without.

        Raises:
            InputError: the contact cannot stand in it.
        """
        contact = contact or self.contact
        if contact is not None and not (contact.isascii() and contact.isprintable()):
            raise InputError(f"contact: {contact!r} cannot stand in a user agent; give a mail or web address")
        about = [] if self.product == PRODUCT else [PRODUCT]
        return f"{self.product} ({'; '.join([*about, 'img2dataset', *([f'+{contact}'] if contact else [])])})"
