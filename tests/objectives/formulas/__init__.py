"""The plain formula of each objective, one a file, by the objective's name."""
