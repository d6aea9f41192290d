"""Audio: recordings in, channels and log-mels out."""
