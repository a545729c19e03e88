"""Bytes in, values out: every wire and file format, without Twisted, clock or socket."""
