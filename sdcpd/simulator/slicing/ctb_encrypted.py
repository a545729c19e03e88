"""A writer of encrypted .ctb files, versions 4 and 5, with the caller's key (formats reference, section 5).

One decision: no key is here, real or invented; whoever wants such a file brings one. As in real files, the settings
and the signature are encrypted whole, and of a few layers a piece of 512 bytes.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

from sdcpd.simulator.slicing import ctb_parts as parts
from sdcpd.simulator.slicing.recipe import Recipe, Totals, totals
from sdcpd.simulator.slicing.rle import ctb_rle, hidden
from sdcpd.simulator.slicing.slices import Slices, encoded

__all__ = ["write"]

_MAGIC = 0x12FD0107
_CLEAR, _SETTINGS, _SIGNATURE = 48, 288, 32
_PREVIEW, _POINTER, _HEADER = 16, 16, 88
_PIECE = 512
_EVERY = 40  # a layer of which a piece is encrypted
_PLACES = (0, 1024)
_BEFORE, _BEHIND = struct.pack("<II", 0x422052FA, 0), struct.pack("<I", 0x6D4232B3)

Seal = Callable[[bytes], bytes]


def write(
    path: Path, slices: Slices, recipe: Recipe, key: bytes, iv: bytes, version: int = 4, xor_key: int = 0
) -> Path:
    """Write the file; ``key`` has 32 bytes and ``iv`` 16. Returns where.

    Raises ``ValueError`` for what the format cannot hold, and for a key of another size.
    """
    if version not in (4, 5):
        raise ValueError(f"expected a version of 4 or 5, not {version}")
    parts.check(recipe)
    seal = _sealing(key, iv)
    large_at = _CLEAR + _SETTINGS
    large = parts.preview(slices, parts.LARGE, large_at, _PREVIEW)
    small_at = large_at + len(large)
    small = parts.preview(slices, parts.SMALL, small_at, _PREVIEW)
    name, name_at = recipe.machine.encode(), small_at + len(small)
    disclaimer_at = name_at + len(name)
    resin_at = disclaimer_at + len(parts.DISCLAIMER) if version >= 5 else 0
    resin = parts.resin(recipe, resin_at) if resin_at else b""
    table_at = disclaimer_at + len(parts.DISCLAIMER) + len(resin)
    pointers, lit = [], []
    with path.open("wb") as ctb:
        ctb.seek(table_at + _POINTER * slices.count)
        for layer, (rle, pixels) in enumerate(encoded(slices, ctb_rle)):
            page, offset = divmod(ctb.tell(), 2**32)
            pointers.append(struct.pack("<4I", offset, page, _HEADER, 0))
            ctb.write(_layer(recipe, layer, ctb.tell() + _HEADER, hidden(rle, xor_key, layer), seal))
            lit.append(pixels)
        if version >= 5:
            ctb.write(_BEFORE)
        signature_at = ctb.tell()
        check = struct.pack("<Q", int(recipe.date.timestamp()))
        ctb.write(seal(hashlib.sha256(check).digest()))
        if version >= 5:
            ctb.write(_BEHIND)
        pointed = (table_at, large_at, small_at, name_at, len(name), disclaimer_at, resin_at)
        settings = check + _settings(recipe, slices.count, totals(recipe, lit), xor_key, pointed)
        head = (_MAGIC, _SETTINGS, _CLEAR, 0, version, _SIGNATURE, signature_at, 0, 1, 1, 0, 42, 0)
        ctb.seek(0)
        ctb.write(struct.pack("<8IHHIII", *head) + seal(settings))
        ctb.write(large + small + name + parts.DISCLAIMER + resin + b"".join(pointers))
    return path


def _sealing(key: bytes, iv: bytes) -> Seal:
    """Encrypts whole blocks of 16 bytes; the IV begins anew with each call."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    if (len(key), len(iv)) != (32, 16):
        raise ValueError(f"expected a key of 32 bytes and an IV of 16, not {len(key)} and {len(iv)}")
    cipher = Cipher(algorithms.AES(key), modes.CBC(iv))

    def seal(clear: bytes) -> bytes:
        sealing = cipher.encryptor()
        return sealing.update(clear) + sealing.finalize()

    return seal


def _layer(recipe: Recipe, layer: int, at: int, data: bytes, seal: Seal) -> bytes:
    """A layer's header and its bytes."""
    number, other = divmod(layer, _EVERY)
    start = _PLACES[number % len(_PLACES)]
    piece = _PIECE if other == 0 and len(data) >= start + _PIECE else 0
    if piece:
        data = data[:start] + seal(data[start : start + piece]) + data[start + piece :]
    page, offset = divmod(at, 2**32)
    header = struct.pack(
        "<IfffIIIIII11fI",
        *(_HEADER, recipe.z(layer), recipe.exposure_of(layer), recipe.light_off_of(layer)),
        *(offset, page, len(data), 0, start if piece else 0, piece),
        *parts.lifts(recipe.moves_of(layer)),
        *recipe.waits_of(layer).in_order(),
        *(recipe.pwm_of(layer), 0),
    )
    return header + data


def _settings(recipe: Recipe, count: int, sums: Totals, xor_key: int, pointed: tuple[int, ...]) -> bytes:
    """All of the settings but the check value before them."""
    table_at, large_at, small_at, name_at, name_size, disclaimer_at, resin_at = pointed
    bottom_lift, bottom_speed, *bottom_second = parts.lifts(recipe.bottom_moves)[:4]
    lift, lift_speed, second_lift, second_lift_speed, retract_speed, *second_retract = parts.lifts(recipe.moves)
    waits, bottom = recipe.waits, recipe.bottom_moves
    return struct.pack(
        "<IfffIIfffffIIIIIIII9fIHHI7fIIBHBIIffIffIfIfffff14I",
        *(table_at, *recipe.bed, 0, 0, count * recipe.layer_height, recipe.layer_height),
        *(recipe.exposure, recipe.bottom_exposure, recipe.light_off, recipe.bottom_layers),
        *(*recipe.resolution, count, large_at, small_at, sums.seconds, recipe.mirror_x),
        *(bottom_lift, bottom_speed, lift, lift_speed, retract_speed),
        *(sums.volume, sums.weight, sums.cost, recipe.bottom_light_off),
        *(1, recipe.light_pwm, recipe.bottom_light_pwm, xor_key),
        *(*bottom_second, second_lift, second_lift_speed, *second_retract, waits.after_lift),
        *(name_at, name_size),
        *(parts.AA_ON if recipe.anti_aliasing > 1 else parts.AA_OFF, 0, parts.PER_LAYER * recipe.per_layer),
        *(int(recipe.date.timestamp()) // 60, recipe.anti_aliasing),
        *(waits.after_retract, waits.after_lift, recipe.transition_layers),
        *(bottom.retract_speed, bottom.second_retract_speed, 0, 4.0, 0, 4.0),
        *(waits.after_retract, waits.after_lift, waits.before_lift, bottom.second_retract),
        *(0, 0, 4, count - 1, 0, 0, 0, 0, disclaimer_at, len(parts.DISCLAIMER), 0, resin_at, 0, 0),
    )
