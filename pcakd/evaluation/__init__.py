"""Measuring a student: content/style pairs, graded pairs with a known truth, and simple baselines beside it."""
