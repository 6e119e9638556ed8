/* Small float32 matrix products, for attention. */
/* C (m x n) = A B, where A(i, k) lies at a[i * ai + k * ak], B is row-major with `ldb` and n is a multiple of W. */
INLINE void tile(const int M, const int N, const float *a, long ai, long ak, const float *b, long ldb, float *c,
                 long ldc, long depth) {
    vf sum[8][4];
#pragma GCC unroll 8
    for (int i = 0; i < M; i++)
#pragma GCC unroll 4
        for (int j = 0; j < N; j++) sum[i][j] = (vf){0};
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
INLINE void stripe(const int M, const int N, const float *a, long ai, long ak, const float *b, long ldb, float *c,
                   long ldc, long m, long depth) {
    long i = 0;
    for (; i + M <= m; i += M) tile(M, N, a + i * ai, ai, ak, b, ldb, c + i * ldc, ldc, depth);
    for (; i < m; i++) tile(1, N, a + i * ai, ai, ak, b, ldb, c + i * ldc, ldc, depth);
}
static void product(const float *a, long ai, long ak, const float *b, long ldb, float *c, long ldc, long m, long n,
                    long depth) {
    long j = 0;
    for (; j + 4 * W <= n; j += 4 * W) stripe(4, 4, a, ai, ak, b + j, ldb, c + j, ldc, m, depth);
    switch ((n - j) / W) {
    case 3: stripe(4, 3, a, ai, ak, b + j, ldb, c + j, ldc, m, depth); break;
    case 2: stripe(8, 2, a, ai, ak, b + j, ldb, c + j, ldc, m, depth); break;
    case 1: stripe(8, 1, a, ai, ak, b + j, ldb, c + j, ldc, m, depth); break;
    }
}
