"""What the benchmark `grading` runs: a suite in plain testinfra idiom, a delaying proxy, the engine as a backend."""
