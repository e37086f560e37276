"""What of a lead or an org that is gone is erased: by itself after a delay, or at once."""
