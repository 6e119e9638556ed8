/* Vectors of float32 as wide as the processor has them, bfloat16 in memory, and exp. */
#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define W 16
#else
#define W 8
#endif
#define INLINE static inline __attribute__((always_inline))

INLINE long up(long n, long to) { return (n + to - 1) / to * to; }
INLINE long least(long a, long b) { return a < b ? a : b; }

typedef float vf __attribute__((vector_size(4 * W), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(4 * W), aligned(4), may_alias));
typedef uint32_t vu __attribute__((vector_size(4 * W), aligned(4), may_alias));
typedef uint16_t vh __attribute__((vector_size(2 * W), aligned(2), may_alias));

INLINE vf splat(float x) { return x - (vf){0}; }
INLINE vf load32(const float *p) { return *(const vf *)p; }
INLINE void store32(float *p, vf x) { *(vf *)p = x; }
INLINE vf choose(vi mask, vf a, vf b) { return (vf)(((vi)a & mask) | ((vi)b & ~mask)); }

/* Halves are folded onto each other, so that a sum or maximum of W numbers takes log2(W) steps, not W. */
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define HAS_SHUFFLES 1
#endif
#endif
#if HAS_SHUFFLES && W == 16
#define FOLD8(x) __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7)
#define FOLD4(x) __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11)
#define FOLD2(x) __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13)
#define FOLD1(x) __builtin_shufflevector(x, x, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14)
#elif HAS_SHUFFLES
#define FOLD4(x) __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3)
#define FOLD2(x) __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5)
#define FOLD1(x) __builtin_shufflevector(x, x, 1, 0, 3, 2, 5, 4, 7, 6)
#endif
INLINE float sum_of(vf x) {
#if HAS_SHUFFLES
#if W == 16
    x += FOLD8(x);
#endif
    x += FOLD4(x);
    x += FOLD2(x);
    x += FOLD1(x);
    return x[0];
#else
    float total = 0;
    for (int i = 0; i < W; i++) total += x[i];
    return total;
#endif
}
/* Of a and b the larger or smaller; b where one of them is not a number. */
#if defined(__AVX512F__)
INLINE vf larger(vf a, vf b) { return (vf)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE vf smaller(vf a, vf b) { return (vf)_mm512_min_ps((__m512)a, (__m512)b); }
#else
INLINE vf larger(vf a, vf b) { return choose(a > b, a, b); }
INLINE vf smaller(vf a, vf b) { return choose(a < b, a, b); }
#endif
INLINE float max_of(vf x) {
#if HAS_SHUFFLES
#if W == 16
    x = larger(x, FOLD8(x));
#endif
    x = larger(x, FOLD4(x));
    x = larger(x, FOLD2(x));
    x = larger(x, FOLD1(x));
    return x[0];
#else
    float most = x[0];
    for (int i = 1; i < W; i++) most = x[i] > most ? x[i] : most;
    return most;
#endif
}

#if defined(__AVX512BF16__) && W == 16
INLINE vf load_bf16(const uint16_t *p) {
    return (vf)((vu)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)) << 16);
}
INLINE void store_bf16(uint16_t *p, vf x) { /* one instruction; it takes numbers below 1e-38 for 0 */
    _mm256_storeu_si256((__m256i *)p, (__m256i)_mm512_cvtneps_pbh((__m512)x));
}
#else
INLINE vf load_bf16(const uint16_t *p) { return (vf)(__builtin_convertvector(*(const vh *)p, vu) << 16); }
INLINE void store_bf16(uint16_t *p, vf x) { /* to nearest, ties to even; not-a-number stays so */
    vu bits = (vu)x;
    vu rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    vi nan = x != x;
    *(vh *)p = __builtin_convertvector((rounded & (vu)~nan) | (0x7fc0 & (vu)nan), vh);
}
#endif

#if BF16
typedef uint16_t elem;
INLINE vf load(const elem *p) { return load_bf16(p); }
INLINE void store(elem *p, vf x) { store_bf16(p, x); }
INLINE float load_one(const elem *p) {
    union { uint32_t bits; float value; } both = {(uint32_t)*p << 16};
    return both.value;
}
#else
typedef float elem;
INLINE vf load(const elem *p) { return load32(p); }
INLINE void store(elem *p, vf x) { store32(p, x); }
INLINE float load_one(const elem *p) { return *p; }
#endif

/* exp to 2 units in the last place; below -87 it is the smallest normal number, above 88 the largest. */
INLINE vf exp_of(vf x) {
    x = smaller(splat(88.0f), larger(splat(-87.0f), x));
    vf n = (x * 1.44269504f + 12582912.0f) - 12582912.0f;
    vf r = x - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    vf y = splat(1.0f / 5040);
    y = y * r + 1.0f / 720;
    y = y * r + 1.0f / 120;
    y = y * r + 1.0f / 24;
    y = y * r + 1.0f / 6;
    y = y * r + 0.5f;
    y = y * r + 1.0f;
    y = y * r + 1.0f;
    return y * (vf)((__builtin_convertvector(n, vi) + 127) << 23);
}
