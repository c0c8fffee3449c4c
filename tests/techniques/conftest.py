"""Profiles of Hypothesis: the same inputs in each run, or others and more of them."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "explore",
    max_examples=1_000,
    deadline=None,
    # All examples of a test share its database. None of them relies on what is in it.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.register_profile(
    "repeatable", settings.get_profile("explore"), max_examples=10, derandomize=True, database=None
)
settings.load_profile("repeatable")
