"""Pages for people: all orgs at a glance, and one org with its call list, its model and its history."""
