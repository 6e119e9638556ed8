/* Random bits: a hash of position and key, so that the backward pass draws them again instead of keeping them. */
typedef struct { uint32_t first, second; } key;

INLINE vu lanes(void) {
    vu v;
    for (int i = 0; i < W; i++) v[i] = (uint32_t)i;
    return v;
}
INLINE vu hash_of(uint32_t block, key k) { /* two rounds of an integer finalizer, keyed before each */
    vu x = (lanes() + block * W) ^ k.first;
    x ^= x >> 16; x *= 0x7feb352dU; x ^= x >> 15; x *= 0x846ca68bU; x ^= x >> 16;
    x += k.second;
    x ^= x >> 16; x *= 0x21f0aaadU; x ^= x >> 15; x *= 0xd35a2d97U; x ^= x >> 15;
    return x;
}
/* Scales of W elements: 0 where dropped, `scale` where kept. half is 0 or 1: which 16 bits of each lane decide. */
INLINE vf kept(vu bits, int half, uint32_t threshold, float scale) {
    vu draw = bits & 0xffff;
    if (half) draw = bits >> 16;
    return choose((vi)draw >= (vi)(threshold - (vu){0}), splat(scale), splat(0.0f));
}
typedef struct { uint32_t threshold; float scale; key k; } dropout;
INLINE void keep_pair(const dropout *d, uint32_t block, vf *first, vf *second) {
    if (d->threshold) {
        vu bits = hash_of(block, d->k);
        *first = kept(bits, 0, d->threshold, d->scale);
        *second = kept(bits, 1, d->threshold, d->scale);
    } else {
        *first = *second = splat(1.0f);
    }
}
/* The seed is spread over both halves of the key first (the finalizer of splitmix64: Steele, Lea and Flood, 2014):
 * position and key meet by exclusive or, so that keys which are near each other would drop the same places, moved. */
INLINE dropout make_dropout(uint32_t threshold, uint64_t seed) {
    seed = (seed ^ (seed >> 30)) * 0xbf58476d1ce4e5b9U;
    seed = (seed ^ (seed >> 27)) * 0x94d049bb133111ebU;
    seed ^= seed >> 31;
    return (dropout){threshold, 65536.0f / (65536.0f - threshold), {(uint32_t)seed, (uint32_t)(seed >> 32)}};
}
