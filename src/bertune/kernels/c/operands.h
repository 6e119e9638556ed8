/* Operands of attention's products, laid out as the processor multiplies them fastest.
 *
 * A word is 32 bits: with bfloat16, where the processor multiplies pairs of it, two numbers that stand next to each other
 * along the depth of the product; else one float32. Left matrices are rows of words; right matrices have a row for each
 * word of depth, so that rows which stand next to each other along the depth are woven into one.
 */
#if BF16 && defined(__AVX512BF16__) && W == 16
#define PAIR 2
#else
#define PAIR 1
#endif
typedef uint32_t word __attribute__((may_alias));

INLINE vf meet(vf sum, const float *a, vf b) {
#if PAIR == 2
    return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32((int)*(const word *)a), (__m512bh)b);
#else
    return sum + *a * b;
#endif
}
/* C (m x n) = A B, or is added to: the word k of A's row i lies at a[i * ai + k * ak], B is row-major with `ldb`, m is a
 * multiple of 4 and n of W. */
INLINE void word_tile(const int N, const int add, const float *a, long ai, long ak, const float *b, long ldb, float *c,
                      long ldc, long depth) {
    vf sum[4][4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
#pragma GCC unroll 4
        for (int j = 0; j < N; j++) sum[i][j] = add ? load32(c + i * ldc + j * W) : (vf){0};
    for (long k = 0; k < depth; k++) {
        vf row[4];
#pragma GCC unroll 4
        for (int j = 0; j < N; j++) row[j] = load32(b + k * ldb + j * W);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
#pragma GCC unroll 4
            for (int j = 0; j < N; j++) sum[i][j] = meet(sum[i][j], a + i * ai + k * ak, row[j]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
#pragma GCC unroll 4
        for (int j = 0; j < N; j++) store32(c + i * ldc + j * W, sum[i][j]);
}
INLINE void word_stripe(const int N, const int add, const float *a, long ai, long ak, const float *b, long ldb, float *c,
                        long ldc, long m, long depth) {
    for (long i = 0; i < m; i += 4) word_tile(N, add, a + i * ai, ai, ak, b, ldb, c + i * ldc, ldc, depth);
}
INLINE void word_product(const int add, const float *a, long ai, long ak, const float *b, long ldb, float *c, long ldc,
                         long m, long n, long depth) {
    long j = 0;
    for (; j + 4 * W <= n; j += 4 * W) word_stripe(4, add, a, ai, ak, b + j, ldb, c + j, ldc, m, depth);
    switch ((n - j) / W) {
    case 3: word_stripe(3, add, a, ai, ak, b + j, ldb, c + j, ldc, m, depth); break;
    case 2: word_stripe(2, add, a, ai, ak, b + j, ldb, c + j, ldc, m, depth); break;
    case 1: word_stripe(1, add, a, ai, ak, b + j, ldb, c + j, ldc, m, depth); break;
    }
}
static void set_product(const float *a, long ai, long ak, const float *b, long ldb, float *c, long ldc, long m, long n,
                        long depth) {
    word_product(0, a, ai, ak, b, ldb, c, ldc, m, n, depth);
}
static void add_block_product(const float *a, long ai, long ak, const float *b, long ldb, float *c, long ldc, long m, long n,
                        long depth) {
    word_product(1, a, ai, ak, b, ldb, c, ldc, m, n, depth);
}

/* Writes W numbers of a row of words, from number j on. */
INLINE void store_words(float *row, long j, vf x) {
#if PAIR == 2
    store_bf16((uint16_t *)row + j, x);
#else
    store32(row + j, x);
#endif
}
/* W words, each of the numbers that PAIR rows have in a column. */
INLINE vf woven(const vf *x) {
#if PAIR == 2
    vu first = (vu)_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)x[0]));
    vu second = (vu)_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)x[1]));
    return (vf)(first | second << 16);
#else
    return x[0];
#endif
}
/* Rows of d numbers, `stride` apart, as rows of words, with zeros from `rows` on. */
static void take_rows(const elem *from, long stride, float *to, long rows, long padded_rows, long d) {
    long words = d / PAIR;
    for (long i = 0; i < rows; i++)
#if PAIR == 2
        memcpy(to + i * words, from + i * stride, (size_t)d * sizeof(elem));
#else
        for (long j = 0; j < d; j += W) store32(to + i * words + j, load(from + i * stride + j));
#endif
    memset(to + rows * words, 0, (size_t)((padded_rows - rows) * words) * sizeof(float));
}
/* Rows of words, of which there are a multiple of PAIR, as a right matrix whose depth is the rows. */
static void weave_rows(const float *from, float *to, long rows, long d) {
#if PAIR == 2
    const uint16_t *numbers = (const uint16_t *)from;
    for (long i = 0; i < rows; i += 2)
        for (long j = 0; j < d; j += W) {
            vu first = (vu)load_bf16(numbers + i * d + j), second = (vu)load_bf16(numbers + (i + 1) * d + j);
            store32(to + i / 2 * d + j, (vf)(first >> 16 | second));
        }
#else
    memcpy(to, from, (size_t)(rows * d) * sizeof(float));
#endif
}
/* Rows of words as a right matrix whose depth is their width, (words x width), with zeros from column `rows` on. */
static void turn_words(const float *from, float *to, long rows, long words, long width) {
    if (words % W == 0) {
        turn_rows(from, to, rows, words, width);
        return;
    }
    for (long k = 0; k < words; k++)
        for (long i = 0; i < width; i++) ((word *)to)[k * width + i] = i < rows ? ((const word *)from)[i * words + k] : 0;
}
