"""The errors a person or a model can act on. Knows no other module.

Every message names the thing, says what was expected and what to do next.
"""


class AssistantError(Exception):
    """Anything Maru refuses or fails at, in a sentence fit for a person."""


class BadInput(AssistantError):
    """The person's file, setting or request cannot be used as it is."""


class BadToolCall(AssistantError):
    """The language model named a tool or arguments that do not exist."""


class ToolError(AssistantError):
    """A tool understood its arguments but its work failed."""


class PluginError(AssistantError):
    """A plugin file cannot be registered; raised at start-up only."""


class ModelUnavailable(AssistantError):
    """A model's weights cannot be had or do not fit."""


class Cancelled(AssistantError):
    """The person stopped the turn; raised inside running work to leave it."""
