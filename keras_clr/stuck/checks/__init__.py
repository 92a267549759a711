"""One file per kind of evidence: each turns what was measured into `Finding`s."""
