"""What was said of leads against what came true: outcomes that are mature, evidence, and figures per version."""
