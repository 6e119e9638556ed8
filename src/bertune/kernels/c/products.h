/* Small float32 matrix products and turned matrices, for attention. */
/* C (m x n) = A B, where A(i, k) lies at a[i * ai + k * ak], B is row-major with `ldb` and n is a multiple of W. With
 * `added` it is added to what is in C. */
INLINE void tile(const int added, const int M, const int N, const float *a, long ai, long ak, const float *b, long ldb,
                 float *c, long ldc, long depth) {
    vf sum[8][4];
#pragma GCC unroll 8
    for (int i = 0; i < M; i++)
#pragma GCC unroll 4
        for (int j = 0; j < N; j++) sum[i][j] = added ? load32(c + i * ldc + j * W) : (vf){0};
    for (long k = 0; k < depth; k++) {
        vf row[4];
#pragma GCC unroll 4
        for (int j = 0; j < N; j++) row[j] = load32(b + k * ldb + j * W);
#pragma GCC unroll 8
        for (int i = 0; i < M; i++) {
            float x = a[i * ai + k * ak];
#pragma GCC unroll 4
            for (int j = 0; j < N; j++) sum[i][j] += x * row[j];
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < M; i++)
#pragma GCC unroll 4
        for (int j = 0; j < N; j++) store32(c + i * ldc + j * W, sum[i][j]);
}
INLINE void stripe(const int added, const int M, const int N, const float *a, long ai, long ak, const float *b, long ldb,
                   float *c, long ldc, long m, long depth) {
    long i = 0;
    for (; i + M <= m; i += M) tile(added, M, N, a + i * ai, ai, ak, b, ldb, c + i * ldc, ldc, depth);
    for (; i < m; i++) tile(added, 1, N, a + i * ai, ai, ak, b, ldb, c + i * ldc, ldc, depth);
}
INLINE void product_of(const int added, const float *a, long ai, long ak, const float *b, long ldb, float *c, long ldc,
                       long m, long n, long depth) {
    long j = 0;
    for (; j + 4 * W <= n; j += 4 * W) stripe(added, 4, 4, a, ai, ak, b + j, ldb, c + j, ldc, m, depth);
    switch ((n - j) / W) {
    case 3: stripe(added, 4, 3, a, ai, ak, b + j, ldb, c + j, ldc, m, depth); break;
    case 2: stripe(added, 8, 2, a, ai, ak, b + j, ldb, c + j, ldc, m, depth); break;
    case 1: stripe(added, 8, 1, a, ai, ak, b + j, ldb, c + j, ldc, m, depth); break;
    }
}
static void product(const float *a, long ai, long ak, const float *b, long ldb, float *c, long ldc, long m, long n,
                    long depth) {
    product_of(0, a, ai, ak, b, ldb, c, ldc, m, n, depth);
}
static void add_product(const float *a, long ai, long ak, const float *b, long ldb, float *c, long ldc, long m, long n,
                        long depth) {
    product_of(1, a, ai, ak, b, ldb, c, ldc, m, n, depth);
}
/* C (m x n) = A B with both row-major and B turned: C(i, j) is row i of A times row j of B; depth is a multiple of W. */
INLINE void dot_tile(const int M, const int N, const float *a, long lda, const float *b, long ldb, float *c, long ldc,
                     long depth) {
    vf sum[4][4];
#pragma GCC unroll 4
    for (int i = 0; i < M; i++)
#pragma GCC unroll 4
        for (int j = 0; j < N; j++) sum[i][j] = (vf){0};
    for (long k = 0; k < depth; k += W) {
        vf row[4];
#pragma GCC unroll 4
        for (int j = 0; j < N; j++) row[j] = load32(b + j * ldb + k);
#pragma GCC unroll 4
        for (int i = 0; i < M; i++) {
            vf x = load32(a + i * lda + k);
#pragma GCC unroll 4
            for (int j = 0; j < N; j++) sum[i][j] += x * row[j];
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < M; i++)
#pragma GCC unroll 4
        for (int j = 0; j < N; j++) c[i * ldc + j] = sum_of(sum[i][j]);
}
INLINE void dot_stripe(const int N, const float *a, long lda, const float *b, long ldb, float *c, long ldc, long m,
                       long depth) {
    long i = 0;
    for (; i + 4 <= m; i += 4) dot_tile(4, N, a + i * lda, lda, b, ldb, c + i * ldc, ldc, depth);
    for (; i < m; i++) dot_tile(1, N, a + i * lda, lda, b, ldb, c + i * ldc, ldc, depth);
}
static void dots(const float *a, long lda, const float *b, long ldb, float *c, long ldc, long m, long n, long depth) {
    long j = 0;
    for (; j + 4 <= n; j += 4) dot_stripe(4, a, lda, b + j * ldb, ldb, c + j, ldc, m, depth);
    switch (n - j) {
    case 3: dot_stripe(3, a, lda, b + j * ldb, ldb, c + j, ldc, m, depth); break;
    case 2: dot_stripe(2, a, lda, b + j * ldb, ldb, c + j, ldc, m, depth); break;
    case 1: dot_stripe(1, a, lda, b + j * ldb, ldb, c + j, ldc, m, depth); break;
    }
}

#if HAS_SHUFFLES && W == 16
#define WEAVE_LOW(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define WEAVE_HIGH(a, b) __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#define WEAVES 4
#elif HAS_SHUFFLES
#define WEAVE_LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define WEAVE_HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#define WEAVES 3
#endif
/* (rows x columns) becomes (columns x width), with zeros from `rows` on; columns and width are multiples of W. */
static void turn_rows(const float *from, float *to, long rows, long columns, long width) {
    for (long i = 0; i < width; i += W)
        for (long j = 0; j < columns; j += W) {
#ifdef WEAVES
            vf a[W], b[W];
#pragma GCC unroll 16
            for (int r = 0; r < W; r++) a[r] = i + r < rows ? load32(from + (i + r) * columns + j) : (vf){0};
#pragma GCC unroll 4
            for (int round = 0; round < WEAVES; round++) {
#pragma GCC unroll 8
                for (int r = 0; r < W / 2; r++) {
                    b[2 * r] = WEAVE_LOW(a[r], a[r + W / 2]);
                    b[2 * r + 1] = WEAVE_HIGH(a[r], a[r + W / 2]);
                }
#pragma GCC unroll 16
                for (int r = 0; r < W; r++) a[r] = b[r];
            }
#pragma GCC unroll 16
            for (int r = 0; r < W; r++) store32(to + (j + r) * width + i, a[r]);
#else
            for (int r = 0; r < W; r++)
                for (int c = 0; c < W; c++) to[(j + c) * width + i + r] = i + r < rows ? from[(i + r) * columns + j + c] : 0;
#endif
        }
}
