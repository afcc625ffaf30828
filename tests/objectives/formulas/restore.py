from formulas.instruction import instruction as restore

__all__ = ["restore"]
