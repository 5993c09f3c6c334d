"""`colorjax tune`: a search for good values of a config's fields with Optuna; docs/tune.md.

`space` parses the search space, `request` defines a trial, `ledger` assigns trials to processes,
`trial` runs one, `compare` compares the best with the default, `report` writes the results, `run`
runs the whole study.
"""
