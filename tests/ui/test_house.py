"""On one's own machine there is one owner; on a server that others reach each browser is one."""

from __future__ import annotations

import uuid

import pytest

from assistant.settings import Settings
from assistant.ui.handlers import House


def test_alone_every_browser_sees_the_same(settings: Settings) -> None:
    house = House(settings, shared=False)
    assert house.assistant(uuid.uuid4().hex) is house.assistant(uuid.uuid4().hex)


def test_on_a_shared_server_browsers_see_nothing_of_each_other(settings: Settings) -> None:
    house = House(settings, shared=True)
    mine, yours = (house.assistant(uuid.uuid4().hex) for _ in range(2))
    conversation = mine.conversations.create()
    with pytest.raises(Exception, match="There is no conversation"):
        yours.chat("Show me.", conversation=conversation)


@pytest.mark.parametrize("name", ["local", "", "../local", "browser-1"])
def test_a_made_up_browser_reaches_nobody(name: str, settings: Settings) -> None:
    with pytest.raises(ValueError, match="hexadecimal"):
        House(settings, shared=True).assistant(name)
