"""The answer of a study: settings, effects, verdict, figures, report."""
