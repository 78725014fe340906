"""Keys and signatures of a generated chain: real ones, but of no worth to anybody.

A generated block has some forty signatures, and a benchmark tens of thousands of blocks.
libsecp256k1 needs 35 µs for a recoverable signature, and two tries on average for one that Steem
takes as canonical: twice what all the rest of a block takes. So the costly half of ECDSA, the
nonce's point, is computed once for a few nonces; a signature is then four operations on integers.
Whoever reuses a nonce publishes his key; these keys come from a published seed anyway.
"""

import hashlib

import coincurve

from steembot.devnode import serialize

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141  # of secp256k1
_NONCES = 64
_RECOVERABLE = 31  # 27 "compact" + 4 "compressed" + the recovery id


def _canonical(number: int) -> bool:
    """Tell whether r or s needs 32 bytes, no more and no less (fc's is_fc_canonical)."""
    return 1 << 247 <= number < 1 << 255


def _secret(text: str) -> int:
    """Return a private key for a text; 0 or above ORDER happens once in 2^128 texts."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")


def _nonces() -> tuple[tuple[int, int, int], ...]:
    """Return (inverse of k, r, recovery id) for nonces whose r is canonical."""
    found: list[tuple[int, int, int]] = []
    count = 0
    while len(found) < _NONCES:
        k = _secret(f"steembot devnode nonce {count}")
        count += 1
        point = coincurve.PrivateKey.from_int(k).public_key.format()
        r = int.from_bytes(point[1:], "big")
        if _canonical(r):
            found.append((pow(k, -1, ORDER), r, point[0] & 1))
    return tuple(found)


class Key:
    """A private key that belongs to a text (seed, account, role)."""

    _nonces = _nonces()

    def __init__(self, text: str) -> None:
        self._secret = _secret(text)
        public = coincurve.PrivateKey.from_int(self._secret).public_key.format()
        self.public = serialize.public_key_text(public)

    def sign(self, digest: bytes) -> str:
        """Return the canonical, recoverable signature of a SHA-256 digest: hex, 65 bytes.

        The same digest always gives the same signature.
        """
        z = int.from_bytes(digest, "big")
        start = digest[0]
        for turn in range(_NONCES):
            inverse, r, recovery = self._nonces[(start + turn) % _NONCES]
            s = inverse * (z + r * self._secret) % ORDER
            if (
                s > ORDER // 2
            ):  # of the two valid ones the low one (BIP 62); that is the mirror point
                s, recovery = ORDER - s, recovery ^ 1
            if _canonical(s):
                return f"{_RECOVERABLE + recovery:02x}{r:064x}{s:064x}"
        raise AssertionError("64 nonces without a canonical signature: one in 2^512 digests")
