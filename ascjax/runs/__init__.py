"""Run folders and the jobs on them: training, folds, prediction, scoring again."""
