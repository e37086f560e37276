"""What a training costs in each lane."""
