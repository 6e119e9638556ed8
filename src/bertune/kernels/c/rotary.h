/* Rotary positions: the halves of each head's queries and keys are turned by angles of the token's place. */
typedef struct {
    elem *qkv;
    const float *bias, *cosines, *sines;
    const int32_t *cu;
    float *parts;
    long heads, d, rows;
    float sign;
} rotation;

/* x, whose halves come once more behind it, turned. */
INLINE vf turned(const rotation *r, const float *x, const float *cosines, const float *sines, long j) {
    return load32(x + j) * load32(cosines + j) + load32(x + r->d / 2 + j) * (load32(sines + j) * r->sign);
}
static void rotate_body(void *data) {
    const rotation copy = *(const rotation *)data, *r = &copy;
    float x[2 * MAX_HIDDEN];
    long from, to, h = r->heads * r->d, b = 0;
    float *sums = r->parts ? r->parts + omp_get_thread_num() * 3 * h : 0;
    if (sums) memset(sums, 0, (size_t)(3 * h) * sizeof(float));
    share(r->rows, &from, &to);
    for (long i = from; i < to; i++) {
        while (r->cu[b + 1] <= i) b++;
        const float *cosines = r->cosines + (i - r->cu[b]) * r->d, *sines = r->sines + (i - r->cu[b]) * r->d;
        elem *row = r->qkv + i * 3 * h;
        for (long at = 0; at < 2 * h; at += r->d) {
            for (long j = 0; j < r->d; j += W) {
                vf value = load(row + at + j);
                if (r->bias) value += load32(r->bias + at + j);
                store32(x + j, value);
                store32(x + r->d + j, value);
            }
            for (long j = 0; j < r->d; j += W) store(row + at + j, turned(r, x, cosines, sines, j));
        }
        if (r->bias)
            for (long j = 2 * h; j < 3 * h; j += W) store(row + j, load(row + j) + load32(r->bias + j));
        if (sums)
            for (long j = 0; j < 3 * h; j += W) store32(sums + j, load32(sums + j) + load(row + j));
    }
}
/* Adds the bias, null for none, to queries, keys and values (rows, 3 x heads * d) in place, and turns queries and keys.
 * cosines, sines: (places, d), the second half as the first, but that the first half of the sines is negative. */
void rotate_forward(elem *qkv, const float *bias, const float *cosines, const float *sines, const int32_t *cu, long heads,
                    long d, long rows, int threads) {
    rotation r = {.qkv = qkv, .bias = bias, .cosines = cosines, .sines = sines, .cu = cu, .heads = heads, .d = d,
                  .rows = rows, .sign = 1.0f};
    in_parallel(rotate_body, &r, threads);
}
/* Turns gradients back in place; dbias null for none, else `parts` holds threads x 3 x heads * d numbers. */
void rotate_backward(elem *dqkv, float *dbias, const float *cosines, const float *sines, const int32_t *cu, float *parts,
                     int accumulate, long heads, long d, long rows, int threads) {
    rotation r = {.qkv = dqkv, .cosines = cosines, .sines = sines, .cu = cu, .parts = dbias ? parts : 0, .heads = heads,
                  .d = d, .rows = rows, .sign = -1.0f};
    int team = in_parallel(rotate_body, &r, threads);
    if (dbias) add_up(dbias, parts, 3 * heads * d, team, 3 * heads * d, accumulate);
}
