"""Running a model over texts: log-likelihoods, generation, sentence vectors, and what is kept of them."""
