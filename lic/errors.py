"""What a user can get wrong, as two exceptions that the command line turns into one line and an exit code."""


class UserError(Exception):
    """Something that the person at the keyboard can mend; its text is one line: what is wrong, and what to do."""

    exit_code = 1


class DataError(UserError):
    """A file, picture or model that is broken, foreign or does not fit (exit code 1)."""


class UsageError(UserError):
    """A wrong flag, preset or combination of them (exit code 2)."""

    exit_code = 2
