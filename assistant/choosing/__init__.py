"""How a model too small to choose tools by itself is helped to: by nearness, an adapter, and words that were said."""
