"""Where the learning rate of a training falls to a tenth, with TensorFlow and without."""

from __future__ import annotations

from lic.errors import UsageError


def drops_of(schedule: str, lr_steps: str) -> tuple[float, ...]:
    """The drops of a schedule; `lr_steps` are those of "multistep", with commas between.

    Raises:
      UsageError: these are no rising fractions.
    """
    if schedule != "multistep":
        return (0.9,) if schedule == "drop" else ()
    try:
        fractions = tuple(map(float, lr_steps.split(",")))
    except ValueError:
        fractions = ()
    if not fractions or any(not 0 < f < 1 for f in fractions) or sorted(set(fractions)) != list(fractions):
        raise UsageError(f"--lr_steps '{lr_steps}' are not rising fractions between 0 and 1, as 0.5,0.8,0.95")
    return fractions
