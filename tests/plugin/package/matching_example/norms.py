"""How long sentence vectors are, layer by layer."""

from xalign.evaluation.analyses.base import Analysis


class Norms(Analysis):
    """Mean length of a language's sentence vectors at each layer."""

    label = "Length of sentence vectors"
    caption = "Mean length of sentence vectors, left over languages, right of each."

    def measure(self, sentences, seed, advance):
        import numpy as np

        norms_NK = np.linalg.norm(sentences.vectors[self.config.pooling], axis=-1)
        values = [norms_NK[rows[:, 1]].mean(0).tolist() for rows in sentences.pairs.values()]
        advance(len(sentences.layers))
        return {"layers": list(sentences.layers), "languages": list(sentences.pairs), "values": values}

    def summary(self, findings):
        longest = max(max(values) for values in findings["values"])
        return f"at most {longest:.1f}"

    def draw(self, findings):
        from xalign.evaluation.analyses.curves import Curve, draw_curves

        return draw_curves({title: Curve.of(own) for title, own in findings.items()}, "length")
