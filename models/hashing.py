"""The hashes of Keras' Hashing layer: FarmHash's Fingerprint64 (farmhashna::Hash64) and SipHash-2-4.

Fingerprint64 is Google's, as in https://github.com/google/farmhash; SipHash is that of Aumasson and Bernstein 2012,
"SipHash: a fast short-input PRF". TensorFlow calls them `to_hash_bucket_fast` and `to_hash_bucket_strong`.
"""

import struct

_MASK = 2**64 - 1
_K0, _K1, _K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F


def hash_to_bin(text: str, bins: int, salt: tuple[int, int] | None) -> int:
    """The bin, from 0 to ``bins - 1``, that a text falls in."""
    content = text.encode()
    return (fingerprint64(content) if salt is None else siphash(content, salt)) % bins


def fingerprint64(content: bytes) -> int:
    """FarmHash's Fingerprint64."""
    size = len(content)
    if size <= 16:  # noqa: PLR2004 (the lengths are those of FarmHash)
        return _hash_up_to_16(content)
    if size <= 32:  # noqa: PLR2004
        return _hash_up_to_32(content)
    if size <= 64:  # noqa: PLR2004
        return _hash_up_to_64(content)
    return _hash_long(content)


def siphash(content: bytes, key: tuple[int, int]) -> int:
    """SipHash-2-4 with a key of two 64-bit integers."""
    first, second = key[0] & _MASK, key[1] & _MASK
    state = [
        first ^ 0x736F6D6570736575,
        second ^ 0x646F72616E646F6D,
        first ^ 0x6C7967656E657261,
        second ^ 0x7465646279746573,
    ]
    whole = len(content) // 8 * 8
    last = content[whole:].ljust(7, b"\0") + bytes([len(content) & 0xFF])
    for (word,) in struct.iter_unpack("<Q", content[:whole] + last):
        state[3] ^= word
        _sip_round(state)
        _sip_round(state)
        state[0] ^= word
    state[2] ^= 0xFF
    for _ in range(4):
        _sip_round(state)
    return state[0] ^ state[1] ^ state[2] ^ state[3]


def _sip_round(state: list[int]) -> None:
    a, b, c, d = state
    a = (a + b) & _MASK
    b = _rotate_left(b, 13) ^ a
    a = _rotate_left(a, 32)
    c = (c + d) & _MASK
    d = _rotate_left(d, 16) ^ c
    a = (a + d) & _MASK
    d = _rotate_left(d, 21) ^ a
    c = (c + b) & _MASK
    b = _rotate_left(b, 17) ^ c
    c = _rotate_left(c, 32)
    state[:] = a, b, c, d


def _rotate_left(value: int, shift: int) -> int:
    return (value << shift | value >> (64 - shift)) & _MASK


def _rotate(value: int, shift: int) -> int:
    value &= _MASK
    return (value >> shift | value << (64 - shift)) & _MASK


def _word(content: bytes, start: int) -> int:
    """The 64-bit integer at a position; a negative one counts from the end."""
    start %= len(content)
    return int.from_bytes(content[start : start + 8], "little")


def _mix(value: int) -> int:
    value &= _MASK
    return value ^ value >> 47


def _combine(first: int, second: int, factor: int) -> int:
    """FarmHash's HashLen16."""
    mixed = _mix((first ^ second) * factor)
    return _mix((second ^ mixed) * factor) * factor & _MASK


def _hash_up_to_16(content: bytes) -> int:
    size = len(content)
    factor = _K2 + 2 * size
    if size >= 8:  # noqa: PLR2004
        a, b = _word(content, 0) + _K2, _word(content, -8)
        return _combine((_rotate(b, 37) * factor + a) & _MASK, (_rotate(a, 25) + b) * factor & _MASK, factor)
    if size >= 4:  # noqa: PLR2004
        a, b = int.from_bytes(content[:4], "little"), int.from_bytes(content[-4:], "little")
        return _combine(size + (a << 3), b, factor)
    if not size:
        return _K2
    first = content[0] + (content[size // 2] << 8)
    second = size + (content[-1] << 2)
    return _mix(first * _K2 ^ second * _K0) * _K2 & _MASK


def _start(content: bytes) -> tuple[int, int, int, int]:
    """What hashes of up to 32 and of up to 64 bytes begin with: two words of the start, and two sums."""
    factor = _K2 + 2 * len(content)
    first = _word(content, 0) * (_K1 if len(content) <= 32 else _K2)  # noqa: PLR2004
    second, third = _word(content, 8), _word(content, -8) * factor
    total = _rotate(first + second, 43) + _rotate(third, 30) + _word(content, -16) * _K2
    return first, total & _MASK, (first + _rotate(second + _K2, 18) + third) & _MASK, factor


def _hash_up_to_32(content: bytes) -> int:
    _, total, other, factor = _start(content)
    return _combine(total, other, factor)


def _hash_up_to_64(content: bytes) -> int:
    first, total, other, factor = _start(content)
    combined = _combine(total, other, factor)
    third, fourth = _word(content, 16) * factor, _word(content, 24)
    fifth = (total + _word(content, -32)) * factor
    sixth = (combined + _word(content, -24)) * factor
    return _combine(
        (_rotate(third + fourth, 43) + _rotate(fifth, 30) + sixth) & _MASK,
        (third + _rotate(fourth + first, 18) + fifth) & _MASK,
        factor,
    )


def _hash_long(content: bytes) -> int:
    seed = 81
    x, y = seed * _K2 + _word(content, 0), seed * _K1 + 113
    z = _mix(y * _K2 + 113) * _K2
    v, w = (0, 0), (0, 0)
    for start in range(0, (len(content) - 1) // 64 * 64, 64):
        x, y, z, v, w = _round(content[start : start + 64], x, y, z, v, w, factor=_K1, weights=(1, 1))
    factor = _K1 + ((z & 0xFF) << 1)
    w_first = w[0] + ((len(content) - 1) & 63)
    v_first = v[0] + w_first
    w, v = (w_first + v_first, w[1]), (v_first, v[1])
    x, y, z, v, w = _round(content[-64:], x, y, z, v, w, factor=factor, weights=(9, 9))
    first = _combine(v[0] & _MASK, w[0] & _MASK, factor) + _mix(y) * _K0 + z
    second = _combine(v[1] & _MASK, w[1] & _MASK, factor) + x
    return _combine(first & _MASK, second & _MASK, factor)


def _round(  # noqa: PLR0913, PLR0917 (the state of the hash)
    block: bytes,
    x: int,
    y: int,
    z: int,
    v: tuple[int, int],
    w: tuple[int, int],
    *,
    factor: int,
    weights: tuple[int, int],
) -> tuple[int, int, int, tuple[int, int], tuple[int, int]]:
    """One round over 64 bytes; the last one has another ``factor``, and ``weights`` other than 1."""
    x = _rotate(x + y + v[0] + _word(block, 8), 37) * factor
    y = _rotate(y + v[1] + _word(block, 48), 42) * factor
    x ^= w[1] * weights[0]
    y += v[0] * weights[1] + _word(block, 40)
    z = _rotate(z + w[0], 33) * factor
    v = _hash_32(block[:32], v[1] * factor, x + w[0])
    w = _hash_32(block[32:], z + w[1], y + _word(block, 16))
    return z & _MASK, y & _MASK, x & _MASK, v, w


def _hash_32(block: bytes, a: int, b: int) -> tuple[int, int]:
    """FarmHash's WeakHashLen32WithSeeds."""
    first, second, third, fourth = struct.unpack("<4Q", block)
    a += first
    b = _rotate(b + a + fourth, 21)
    start = a
    a += second + third
    b += _rotate(a, 44)
    return (a + fourth) & _MASK, (b + start) & _MASK
