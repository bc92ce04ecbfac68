"""Whole corpora of pictures through Apache Beam: on one machine, or on whatever engine Beam knows.

    python -m lic.corpus compress 'photos/**/*.jpg' packed --model lsk2023 --workers 4

    match ── survey ── by size ── read ── RunInference ── keep ── manifest.jsonl
               │                   │                        │
       done before: skipped        └── failed.jsonl ────────┘

Each file is written whole, and then its record; a run that was killed goes on where the records end.
Beam is an optional extra: pip install '.[beam]'.
"""
