"""What can go wrong in the model. Messages carry names of parts and indices, never a path, a key or a person's name."""


class ModelError(Exception):
    """Root of everything this package raises on purpose. `retryable` tells a queue whether trying again can help."""

    retryable = False


class WeightsError(ModelError):
    """A weight file is missing, broken or not the pinned one; the message says which command mends it."""


class UnreadableImageError(ModelError):
    """The bytes are not a picture we accept; the message says why in one line."""


class VerificationError(ModelError):
    """A face could not be shown to be anonymized, and the policy is to refuse the image."""


class RecoveryError(ModelError):
    """A recovery payload is malformed or does not belong to the given anonymized image."""
