"""A run from start to finish, a measurement, a plan; and the processes of a run on several devices."""
