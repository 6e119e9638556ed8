/* activation(x + bias) times a gate, with dropout; x and its gate lie side by side, n numbers each. */
typedef struct {
    const elem *wide, *g;
    const float *bias;
    elem *out;
    float *parts;
    long rows, n;
    int kind;
    dropout drop;
} gating;

INLINE vf wide_at(const gating *a, long i, long j) {
    vf x = load(a->wide + i * 2 * a->n + j);
    if (a->bias) x += load32(a->bias + j);
    return x;
}
INLINE void gate_rows(const gating *a, int kind) {
    long from, to, n = a->n;
    share(a->rows, &from, &to);
    for (long i = from; i < to; i++)
        for (long j = 0; j < n; j += 2 * W) {
            vf keep[2];
            keep_pair(&a->drop, (uint32_t)((i * n + j) / (2 * W)), keep, keep + 1);
            for (int half = 0; half < 2; half++) {
                long at = j + half * W;
                vf slope, y = activate(wide_at(a, i, at), kind, &slope);
                store(a->out + i * n + at, y * wide_at(a, i, n + at) * keep[half]);
            }
        }
}
static void gate_forward_body(void *data) {
    const gating copy = *(const gating *)data, *a = &copy;
    if (a->kind == GELU) gate_rows(a, GELU);
    else if (a->kind == GELU_TANH) gate_rows(a, GELU_TANH);
    else gate_rows(a, RELU);
}
/* wide: (rows, 2 n); bias: (2 n), null for none; out: (rows, n). */
void gate_forward(const elem *wide, const float *bias, elem *out, long rows, long padded_rows, long n, int kind,
                  uint32_t threshold, uint64_t seed, int threads) {
    gating a = {.wide = wide, .bias = bias, .out = out, .rows = rows, .n = n, .kind = kind,
                .drop = make_dropout(threshold, seed)};
    in_parallel(gate_forward_body, &a, threads);
    zero_tail(out, rows, padded_rows, n);
}
INLINE void gate_rows_backward(const gating *a, int kind) {
    long from, to, n = a->n;
    float *dbias = a->parts ? a->parts + omp_get_thread_num() * 2 * n : 0;
    if (dbias) memset(dbias, 0, (size_t)(2 * n) * sizeof(float));
    share(a->rows, &from, &to);
    for (long i = from; i < to; i++)
        for (long j = 0; j < n; j += 2 * W) {
            vf keep[2];
            keep_pair(&a->drop, (uint32_t)((i * n + j) / (2 * W)), keep, keep + 1);
            for (int half = 0; half < 2; half++) {
                long at = j + half * W;
                vf slope, y = activate(wide_at(a, i, at), kind, &slope), g = load(a->g + i * n + at) * keep[half];
                vf dx = g * wide_at(a, i, n + at) * slope, dgate = g * y;
                store(a->out + i * 2 * n + at, dx);
                store(a->out + i * 2 * n + n + at, dgate);
                if (dbias) {
                    store32(dbias + at, load32(dbias + at) + dx);
                    store32(dbias + n + at, load32(dbias + n + at) + dgate);
                }
            }
        }
}
static void gate_backward_body(void *data) {
    const gating copy = *(const gating *)data, *a = &copy;
    if (a->kind == GELU) gate_rows_backward(a, GELU);
    else if (a->kind == GELU_TANH) gate_rows_backward(a, GELU_TANH);
    else gate_rows_backward(a, RELU);
}
/* dwide: (rows, 2 n), not where `wide` lies; dbias null for none, else `parts` holds threads x 2 x n numbers. */
void gate_backward(const elem *g, const elem *wide, const float *bias, elem *dwide, float *dbias, float *parts,
                   int accumulate, long rows, long padded_rows, long n, int kind, uint32_t threshold, uint64_t seed,
                   int threads) {
    gating a = {.g = g, .wide = wide, .bias = bias, .out = dwide, .parts = dbias ? parts : 0, .rows = rows, .n = n,
                .kind = kind, .drop = make_dropout(threshold, seed)};
    int team = in_parallel(gate_backward_body, &a, threads);
    zero_tail(dwide, rows, padded_rows, 2 * n);
    if (dbias) add_up(dbias, parts, 2 * n, team, 2 * n, accumulate);
}
