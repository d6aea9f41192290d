"""Data sets from Zenodo: their records, and downloads that go on where they stopped."""
