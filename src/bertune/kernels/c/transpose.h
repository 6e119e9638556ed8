/* ---- a matrix of 16-bit numbers, turned ---------------------------------------------------------------------------- */

/* The library of matrix products reads a turned left matrix two or three times slower than one that lies the right way
 * round; to turn it first costs a tenth of what that saves. */

typedef uint16_t row16 __attribute__((vector_size(32), aligned(2), may_alias));
typedef struct {
    const uint16_t *from;
    uint16_t *to;
    long rows, columns;
} turning;

#if HAS_SHUFFLES
#define INTERLEAVE_LOW(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define INTERLEAVE_HIGH(a, b) \
    __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#endif

/* 16 x 16 numbers: four rounds, each of which interleaves row i with row i + 8. */
INLINE void turn_block(const uint16_t *from, long from_stride, uint16_t *to, long to_stride) {
#ifdef INTERLEAVE_LOW
    row16 a[16], b[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) a[i] = *(const row16 *)(from + i * from_stride);
#pragma GCC unroll 4
    for (int round = 0; round < 4; round++) {
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            b[2 * i] = INTERLEAVE_LOW(a[i], a[i + 8]);
            b[2 * i + 1] = INTERLEAVE_HIGH(a[i], a[i + 8]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) a[i] = b[i];
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) *(row16 *)(to + i * to_stride) = a[i];
#else
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++) to[j * to_stride + i] = from[i * from_stride + j];
#endif
}
static void turn_body(void *data) {
    const turning t = *(const turning *)data;
    long from, to;
    share(t.columns / 32, &from, &to);
    /* Two blocks side by side are one cache line of each row. */
    for (long j = 32 * from; j < 32 * to; j += 32)
        for (long i = 0; i < t.rows; i += 16) {
            const uint16_t *block = t.from + i * t.columns + j;
            turn_block(block, t.columns, t.to + j * t.rows + i, t.rows);
            turn_block(block + 16, t.columns, t.to + (j + 16) * t.rows + i, t.rows);
        }
}
/* rows and columns are multiples of 32. */
void turn16(const uint16_t *from, uint16_t *to, long rows, long columns, int threads) {
    turning t = {from, to, rows, columns};
    GOMP_parallel(turn_body, &t, (unsigned)threads, 0);
}
