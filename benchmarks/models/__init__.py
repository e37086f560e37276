"""How good the models and the gate are, and what it takes to extract records, to score a lead, and to explain it."""
