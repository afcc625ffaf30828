from formulas.instruction import instruction as entities

__all__ = ["entities"]
