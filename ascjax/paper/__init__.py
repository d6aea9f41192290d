"""The paper's tables: their rows, what is left to run, how long it takes, ours beside theirs."""
