"""What the measurement of the scoring is made of: a CRM of many orgs, and the runs of the lane."""
