"""Everything that is spoken over HTTP: the Klein tree, one module for each API and one for each care."""
