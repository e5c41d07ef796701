"""What more than one looking or painting plugin does with a model. Knows pictures and models, no tool and no chat."""
