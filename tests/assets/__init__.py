"""What tests need and the project does not ship: photographs, and weights that other people trained.

It lies in PCAKD_ASSETS, else in `../shared/assets` beside the project; what has a public address also in
PCAKD_TEST_ASSETS, where `make test-assets` puts it. Whatever is in none of them is told at the end of a run.
"""
