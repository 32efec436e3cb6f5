"""Sessions as operations of the journal: started, claimed, closed."""
