"""find_lr: measures the range of learning rates that train a model, and gives the model back."""
