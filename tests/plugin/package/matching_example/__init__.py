"""A package outside xalign that adds parts to it: what `docs/objectives.md` and its neighbours describe."""
