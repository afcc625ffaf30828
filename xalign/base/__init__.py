"""What everything else stands on and what knows nothing of models: errors, files, languages, progress."""
