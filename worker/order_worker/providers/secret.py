"""Secrets of the companies that the worker deals with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from order_domain.errors import ProviderUnavailable
from order_process.settings import SettingsError


@dataclass(frozen=True, repr=False)
class Secret:
    """From the variable `name`, or from the file that `<name>_FILE` names."""

    name: str
    value: str | None
    file: Path | None

    @classmethod
    def of(cls, name: str, value: str | None, file: Path | None) -> Self | None:
        """None if neither variable is set. Raises SettingsError if both are, or if the file cannot be read now."""
        if value is None and file is None:
            return None
        if value is not None and file is not None:
            raise SettingsError(f"{name} and {name}_FILE are both set: keep one of them")
        secret = cls(name, value, file)
        try:
            secret.read()
        except ProviderUnavailable as error:
            raise SettingsError(str(error)) from error
        return secret

    def read(self) -> str:
        """The secret as it is now: Kubernetes replaces the file of a mounted Secret when the Secret is rotated. Raises
        ProviderUnavailable."""
        if self.file is None:
            assert self.value is not None
            return self.value
        try:
            value = self.file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ProviderUnavailable(f"{self.name}_FILE cannot be read: {error}") from error
        if not value:
            raise ProviderUnavailable(f"{self.name}_FILE names an empty file")
        return value
