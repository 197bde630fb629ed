# Names of records before -> after (docs/CHANGES.md), applied to what the base wrote.
