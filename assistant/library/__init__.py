"""What a person can search: documents read into passages, pictures, and their vectors. Knows no chat and no tool."""

from assistant.library.documents import count_pages, draw_page
from assistant.library.images import FoundImage, ImageIndex
from assistant.library.library import Added, Hit, Library

__all__ = ["Added", "FoundImage", "Hit", "ImageIndex", "Library", "count_pages", "draw_page"]
