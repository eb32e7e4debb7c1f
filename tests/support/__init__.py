"""What several tests share: frames, datasets and small real implementations; no test is here."""
