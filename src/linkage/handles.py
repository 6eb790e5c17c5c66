"""The base of everything that holds key bytes."""

from __future__ import annotations

from typing import NoReturn

__all__ = ["SecretHandle"]


class SecretHandle:
    """An object that holds key bytes: it can be used, but not pickled or copied."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} holds a key and cannot be pickled or copied; "
            "pass the keyset's reference and open it where it is needed"
        )
