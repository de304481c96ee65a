"""The user agent of requests: the site's name or the project's, and a contact."""

from dataclasses import dataclass

from workflow_scripts.common.config.site import PRODUCT, check_product
from workflow_scripts.common.errors import InputError


@dataclass(frozen=True)
class UserAgent:
    """The user agent of every request.

    Attributes:
        product: a name, optionally followed by a slash and a version.
        contact: mail or web address, unless a host's policy has its own.

    Raises:
        InputError: one of them is not valid in a user agent.
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
        """The names that address these requests in an X-Robots-Tag."""
        return {self.product.partition("/")[0].lower(), PRODUCT, "img2dataset"}

    def text(self, contact: str | None = None) -> str:
        """The value of the User-Agent header; `contact` replaces the default contact.

        Raises:
            InputError: the contact is not printable ASCII.
        """
        contact = contact or self.contact
        if contact is not None and not (contact.isascii() and contact.isprintable()):
            raise InputError(
                f"contact: {contact!r} is not valid in a user agent; give a mail or web address in printable ASCII"
            )
        about = [] if self.product == PRODUCT else [PRODUCT]
        return f"{self.product} ({'; '.join([*about, 'img2dataset', *([f'+{contact}'] if contact else [])])})"
