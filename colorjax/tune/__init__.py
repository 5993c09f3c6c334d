"""`colorjax tune`: a search for good values of a config's fields with Optuna; docs/tune.md.

`space` says what is varied, `request` what a trial is, `ledger` which trial is whose, `trial` runs
one, `compare` measures the best against the default, `report` writes what was found, `run` is the
order of it all.
"""
