"""Mutations of file content: bytes, lengths, words of the format, cuts and pieces of other inputs."""

from __future__ import annotations

import random

_NUMBERS = (0, 1, 2, 7, 8, 16, 127, 128, 255, 256, 1023, 1024, 4096, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**32,
            2**40, 2**63 - 1, 2**63, 2**64 - 1)


def mutated(content: bytes, others: list[bytes], words: list[bytes], draw: random.Random) -> bytes:
    """`content` after one to eight random changes; words: what the format is made of."""
    content = bytearray(content)
    for _ in range(1 + min(int(draw.expovariate(0.6)), 7)):
        place = draw.randrange(len(content) + 1)
        kind = draw.randrange(9)
        if kind == 0 and content:
            content[place % len(content)] ^= 1 << draw.randrange(8)
        elif kind == 1 and content:
            content[place % len(content)] = draw.randrange(256)
        elif kind == 2:
            width = draw.choice((1, 2, 4, 8))
            number = (draw.choice(_NUMBERS) & (2 ** (8 * width) - 1)).to_bytes(width, draw.choice(("little", "big")))
            content[place : place + (width if draw.random() < 0.8 else 0)] = number
        elif kind == 3 and words:
            word = draw.choice(words)
            content[place : place + draw.choice((0, 1, len(word)))] = word
        elif kind == 4:
            del content[place : place + draw.choice((1, 2, 4, 9, 40, len(content)))]
        elif kind == 5:
            piece = content[place : place + draw.choice((1, 4, 20, 100))]
            content[place:place] = piece * draw.choice((1, 1, 2, 50))
        elif kind == 6:
            other = draw.choice(others)
            start = draw.randrange(len(other) + 1)
            target = draw.randrange(len(content) + 1)
            content[target : target + draw.choice((0, 10, 60))] = other[start : start + draw.choice((4, 30, 200))]
        elif kind == 7 and content:
            first, second = draw.randrange(len(content)), draw.randrange(len(content))
            content[first], content[second] = content[second], content[first]
        else:
            content[place:place] = str(draw.choice((-1, *_NUMBERS, 10**18, 1e308, "nan"))).encode()
    return bytes(content[: 2**16])
