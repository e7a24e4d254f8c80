"""Language models: frozen, read and scored by the batch, each token computed once."""
