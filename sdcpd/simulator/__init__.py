"""A simulated SDCP printer, written from the protocol reference and sharing no code with the daemon."""
