"""Runs a causal language model: token ids in, token ids out. Knows no words, no messages and no tools."""
