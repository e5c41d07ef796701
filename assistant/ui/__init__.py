"""The browser front end. The only room that imports gradio; it draws events and knows nothing of models or tools."""
