"""What `models/` is, on disk or in an object store, and who may change it.

Reading order: `ids`, `durable_files`, `safetensors`, `storage` (what holds the files: `folder_storage`, or
`object_storage` and `watched_storage`), `version` (a version's files), `store` (all versions of all orgs),
`activation` (the one door through which a version becomes active), `backup` (what a copy of all of it holds),
`removal` (how an org leaves it).
"""
