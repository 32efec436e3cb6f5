"""Opens, reads and closes sessions, and the operations of the journal that do so."""
