"""A small export of a CRM: one file for each of its tables."""

from __future__ import annotations

import gzip
from pathlib import Path

FILES = {
    "annonce": "id,org_id,title,price,status,photos_json,created_at\n7,a,Flat,99.5,PUBLISHED,[],2026-01-01\n",
    "dossier": "id,org_id,annonce_id,lead_source,status,created_at,updated_at\n"
    "41,a,7,web,WON,2026-01-02 03:04:05,2026-02-01\n"
    "42,a,,phone,NEW,2026-01-03,2026-01-03\n",
    "dossier_status_history": "id,org_id,dossier_id,from_status,to_status,transitioned_at\n"
    "1,a,41,DRAFT,NEW,2026-01-02\n",
    "message": "id,org_id,dossier_id,direction,channel,timestamp\n5,a,42,OUTBOUND,PHONE,2026-01-04\n",
    "appointment": "id,org_id,dossier_id,start_time,end_time,status,created_at\n"
    "6,a,42,2026-01-09,2026-01-09,SCHEDULED,2026-01-04\n",
    "lead_score": "id,org_id,dossier_id,source_score,created_at\n8,a,42,20,2026-01-03\n",
}


def write_export(folder: Path) -> None:
    """Write all files into a new folder."""
    folder.mkdir()
    for table, text in FILES.items():
        write_table(folder, table, text)


def write_table(folder: Path, table: str, text: str) -> None:
    """Write a table's file, or write it anew."""
    (folder / f"{table}.csv.gz").write_bytes(gzip.compress(text.encode(errors="surrogateescape")))
