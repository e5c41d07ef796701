"""How prompts are written with a tokenizer's own chat template, and how calls are read that no grammar held."""
