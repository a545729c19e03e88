"""Forms as slicers send them."""

from __future__ import annotations

BOUNDARY = "----- a:b"
"""One that has to stand in quotes."""
FORM = {"Content-Type": f'multipart/form-data; boundary="{BOUNDARY}"'}


def form(content: bytes | None, filename: str = "plate.goo", *, first: bool = False, **fields: str) -> bytes:
    """A form with one file, behind its fields or before them; without a file if the content is None."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    if content is not None:
        head = f'Content-Disposition: form-data; name="file"; filename="{filename}"\r\n\r\n'
        file = f"--{BOUNDARY}\r\n{head}".encode() + content + b"\r\n"
        parts = [file, *parts] if first else [*parts, file]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
