"""The one exception for mistakes that the user can mend."""


class UserError(Exception):
    """A mistake in what the user gave: one line that says what, why and how to mend it.

    The command prints it without a traceback and exits with 2.
    """

    def __init__(self, subject: str, reason: str, mend: str) -> None:
        super().__init__(subject, reason, mend)  # so that it travels between processes
        self.subject = subject
        self.reason = reason
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.subject}: {self.reason}; {self.mend}".replace("\n", " ")
