"""What `models/` on disk is, and who may change it.

Reading order: `ids`, `durable_files`, `safetensors`, `version` (a version's files), `store` (all versions of all orgs),
`activation` (the one door through which a version becomes active), `backup` (what a copy of all of it holds),
`removal` (how an org leaves it).
"""
