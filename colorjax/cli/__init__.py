"""The `colorjax` command: a file for each command, loaded when it is called."""
