"""Many runs: points of a grid or a search, jobs, their summary and picture."""
