"""Registers that an ICS wrote itself: a Python file beside the configuration with a class that has one method."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import numpy as np

from linkage.config import OwnRegister
from linkage.errors import ConfigurationError, LinkageError, PolicyError
from linkage.optouts.policy import VERDICTS
from linkage.optouts.registers import Evidence, Numbers, Register, Said, distinct
from linkage.reasons import Reason


@dataclass(frozen=True, slots=True)
class Own:
    """A register of the ICS's own, held to what every register has to keep.

    Attributes:
        rule: Where its class is.
        base: The folder of the configuration.
    """

    rule: OwnRegister
    base: Path

    def read(self, now: datetime) -> Said:
        """What it says, in order; whatever goes wrong in it refuses the run.

        Raises:
            ConfigurationError: The file or the class cannot be used.
            PolicyError: Its method failed, or says what no register says.
        """
        register, evidence = self._make()
        try:
            said = register.read(now)
        except LinkageError:
            raise
        except Exception as error:
            # The error's own words may repeat what it read.
            raise self._refused(f"failed with {type(error).__name__}") from None
        if not isinstance(said, Said):
            raise self._refused("does not return Said")
        return replace(
            said,
            out={self._reason(reason): self._ordered(numbers) for reason, numbers in said.out.items()},
            may=None if said.may is None else self._ordered(said.may),
            otherwise=None if said.otherwise is None else self._reason(said.otherwise),
            evidence=(evidence, *said.evidence),
        )

    def _make(self) -> tuple[Register, Evidence]:
        path = self.base / self.rule.file
        hint = "see docs/how-to/own-register.md"
        try:
            source = path.read_bytes()
            others_write = bool(path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH))
            as_of = datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(microsecond=0)
        except OSError as error:
            raise ConfigurationError(f"{path}: cannot be read ({error.strerror})", hint=hint) from None
        if others_write and os.name == "posix":
            raise PolicyError(
                f"{path.name}: others than its owner can change it, and it reads what the pipeline reads",
                hint=f"chmod go-w {path.name}",
            )
        module = ModuleType(f"linkage_register_{path.stem}")
        # Dataclasses look their module up by its name.
        sys.modules[module.__name__] = module
        try:
            exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102 the configuration's own code
            register: Register = getattr(module, self.rule.name)(base=self.base, **self.rule.settings)
        except Exception as error:
            raise ConfigurationError(
                f"{path}: {self.rule.name} cannot be made ({type(error).__name__})", hint=hint
            ) from None
        digest = hashlib.sha256(source).hexdigest()
        return register, Evidence(f"register {self.rule.name}", path.name, digest, as_of, 0)

    def _ordered(self, numbers: Numbers) -> Numbers:
        if not isinstance(numbers, np.ndarray) or numbers.dtype != np.int64 or numbers.ndim != 1:
            raise self._refused("says who in something else than an array of 64-bit integers")
        return distinct(numbers)

    def _reason(self, reason: Reason) -> Reason:
        if reason not in VERDICTS:
            raise self._refused("gives a reason that is not one of a register")
        return reason

    def _refused(self, why: str) -> PolicyError:
        return PolicyError(
            f"{self.rule.file}: {self.rule.name} {why}", hint="correct the register; nothing is released until then"
        )
