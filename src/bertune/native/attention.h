/* Softmax attention of each sequence with itself, one task for each of its heads. */
typedef struct {
    const elem *q, *k, *v, *dout;
    long q_stride, kv_stride;
    const float *bq, *bk, *bv;
    elem *out, *dq, *dk, *dv;
    float *lse, *scratch, *parts;
    const int32_t *cu;
    long sequences, heads, d, max_length, queries_each, lse_stride;
    dropout drop;
} attention;

INLINE long up(long n, long to) { return (n + to - 1) / to * to; }

/* numbers of scratch that a thread needs */
long attention_scratch(long max_length, long queries_each, long d) {
    long wide = up(max_length, 2 * W), queries = queries_each ? queries_each : max_length;
    return (4 * queries + 6 * wide) * d + 2 * queries * wide + 16 * W;
}

INLINE void read_rows(const elem *from, long stride, const float *bias, float scale, float *to, long rows, long d) {
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < d; j += W) store32(to + i * d + j, (load(from + i * stride + j) + load32(bias + j)) * scale);
}
INLINE void transpose(const float *from, float *to, long rows, long d, long width) {
    for (long c = 0; c < d; c++) {
        for (long i = 0; i < rows; i++) to[c * width + i] = from[i * d + c];
        for (long i = rows; i < width; i++) to[c * width + i] = 0;
    }
}
INLINE void write_rows(elem *to, long stride, const float *from, float scale, long rows, long d, float *sums) {
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < d; j += W) {
            vf x = load32(from + i * d + j) * scale;
            store(to + i * stride + j, x);
            if (sums) store32(sums + j, load32(sums + j) + x);
        }
}
/* Which of the tasks (sequence x head) this thread does: equal shares of the cells of all attention matrices. */
INLINE void share_tasks(const attention *a, long *from, long *to) {
    double total = 0, done = 0;
    long t = omp_get_thread_num(), of = omp_get_num_threads(), tasks = a->sequences * a->heads;
    for (long b = 0; b < a->sequences; b++) {
        double s = a->cu[b + 1] - a->cu[b];
        total += (s * (a->queries_each ? a->queries_each : s) + 8 * s) * a->heads;
    }
    *from = t == 0 ? 0 : -1;
    *to = tasks;
    for (long b = 0; b < a->sequences; b++) {
        double s = a->cu[b + 1] - a->cu[b], cost = s * (a->queries_each ? a->queries_each : s) + 8 * s;
        for (long h = 0; h < a->heads; h++) {
            long task = b * a->heads + h;
            if (*from < 0 && done >= total * t / of) *from = task;
            if (t + 1 < of && done >= total * (t + 1) / of) { *to = task; if (*from < 0) *from = task; return; }
            done += cost;
        }
    }
    if (*from < 0) *from = tasks;
}
/* Places of one task: first row of its keys, its length, first row and number of its queries. */
INLINE void place(const attention *a, long b, long *row, long *s, long *q_row, long *queries) {
    *row = a->cu[b];
    *s = a->cu[b + 1] - *row;
    *q_row = a->queries_each ? b * a->queries_each : *row;
    *queries = a->queries_each ? a->queries_each : *s;
}
INLINE uint32_t cells_before(const attention *a, long b, long head) { /* a block number that no two rows share */
    long wide = up(a->max_length, 2 * W) / (2 * W), most = a->queries_each ? a->queries_each : a->max_length;
    return (uint32_t)((b * a->heads + head) * most * wide);
}

static void attention_forward_body(void *data) {
    const attention copy = *(const attention *)data, *a = &copy;
    long d = a->d, from, to;
    float *q = a->scratch + omp_get_thread_num() * attention_scratch(a->max_length, a->queries_each, d);
    const float scale = 1.0f / sqrtf((float)d);
    share_tasks(a, &from, &to);
    for (long task = from; task < to; task++) {
        long b = task / a->heads, head = task % a->heads, row, s, q_row, n;
        place(a, b, &row, &s, &q_row, &n);
        long width = up(s, 2 * W), blocks = up(a->max_length, 2 * W) / (2 * W);
        float *k = q + n * d, *kt = k + width * d, *v = kt + width * d, *p = v + width * d, *o = p + n * width;
        read_rows(a->q + q_row * a->q_stride + head * d, a->q_stride, a->bq + head * d, scale, q, n, d);
        read_rows(a->k + row * a->kv_stride + head * d, a->kv_stride, a->bk + head * d, 1.0f, k, s, d);
        read_rows(a->v + row * a->kv_stride + head * d, a->kv_stride, a->bv + head * d, 1.0f, v, s, d);
        transpose(k, kt, s, d, width);
        product(q, d, 1, kt, width, p, width, n, width, d);
        uint32_t block = cells_before(a, b, head);
        for (long i = 0; i < n; i++) {
            float *x = p + i * width;
            for (long j = s; j < width; j++) x[j] = -INFINITY;
            vf most = load32(x), sum = {0};
            for (long j = W; j < width; j += W) most = choose(load32(x + j) > most, load32(x + j), most);
            float top = max_of(most);
            for (long j = 0; j < width; j += W) {
                vf e = exp_of(load32(x + j) - top);
                store32(x + j, e);
            }
            for (long j = s; j < width; j++) x[j] = 0;
            for (long j = 0; j < width; j += W) sum += load32(x + j);
            float total = sum_of(sum);
            a->lse[head * a->lse_stride + q_row + i] = top + logf(total);
            for (long j = 0; j < width; j += 2 * W) {
                vf keep[2];
                keep_pair(&a->drop, block + (uint32_t)(i * blocks + j / (2 * W)), keep, keep + 1);
                store32(x + j, load32(x + j) * (1.0f / total) * keep[0]);
                store32(x + j + W, load32(x + j + W) * (1.0f / total) * keep[1]);
            }
        }
        product(p, width, 1, v, d, o, d, n, d, s);
        write_rows(a->out + q_row * a->heads * d + head * d, a->heads * d, o, 1.0f, n, d, 0);
    }
}
/* q: (queries, q_stride) and k, v: (tokens, kv_stride), each with its heads side by side from the given address on.
 * queries_each: queries of a sequence, its first tokens, given without the other rows; 0 is every token.
 * out: (queries, heads * d); lse: (heads, lse_stride), the logarithm of each softmax's sum. */
void attention_forward(const elem *q, long q_stride, const elem *k, const elem *v, long kv_stride, const float *bq,
                       const float *bk, const float *bv, elem *out, float *lse, long lse_stride, const int32_t *cu,
                       long sequences, long heads, long d, long max_length, long queries_each, long padded_rows,
                       float *scratch, uint32_t threshold, uint64_t seed, int threads) {
    attention a = {.q = q, .k = k, .v = v, .q_stride = q_stride, .kv_stride = kv_stride, .bq = bq, .bk = bk, .bv = bv,
                   .out = out, .lse = lse, .lse_stride = lse_stride, .scratch = scratch, .cu = cu,
                   .sequences = sequences, .heads = heads, .d = d, .max_length = max_length,
                   .queries_each = queries_each, .drop = make_dropout(threshold, seed)};
    in_parallel(attention_forward_body, &a, threads);
    long rows = queries_each ? sequences * queries_each : cu[sequences];
    zero_tail(out, rows, padded_rows, heads * d);
}

static void attention_backward_body(void *data) {
    const attention copy = *(const attention *)data, *a = &copy;
    long d = a->d, h = a->heads * d, from, to;
    long size = attention_scratch(a->max_length, a->queries_each, d);
    float *q = a->scratch + omp_get_thread_num() * size, *sums = a->parts + omp_get_thread_num() * 3 * h;
    const float scale = 1.0f / sqrtf((float)d);
    memset(sums, 0, 3 * h * sizeof(float));
    static const float none[MAX_HIDDEN];
    share_tasks(a, &from, &to);
    for (long task = from; task < to; task++) {
        long b = task / a->heads, head = task % a->heads, row, s, q_row, n;
        place(a, b, &row, &s, &q_row, &n);
        long width = up(s, 2 * W), blocks = up(a->max_length, 2 * W) / (2 * W);
        float *dout = q + n * d, *dq = dout + n * d, *k = dq + n * d, *kt = k + width * d, *v = kt + width * d,
              *vt = v + width * d, *dk = vt + width * d, *dv = dk + width * d, *p = dv + width * d, *dp = p + n * width;
        read_rows(a->q + q_row * a->q_stride + head * d, a->q_stride, a->bq + head * d, scale, q, n, d);
        read_rows(a->dout + q_row * h + head * d, h, none, 1.0f, dout, n, d);
        read_rows(a->k + row * a->kv_stride + head * d, a->kv_stride, a->bk + head * d, 1.0f, k, s, d);
        read_rows(a->v + row * a->kv_stride + head * d, a->kv_stride, a->bv + head * d, 1.0f, v, s, d);
        transpose(k, kt, s, d, width);
        transpose(v, vt, s, d, width);
        product(q, d, 1, kt, width, p, width, n, width, d);
        product(dout, d, 1, vt, width, dp, width, n, width, d);
        uint32_t block = cells_before(a, b, head);
        for (long i = 0; i < n; i++) {
            float *x = p + i * width, *dx = dp + i * width, lse = a->lse[head * a->lse_stride + q_row + i];
            vf dot = {0};
            for (long j = 0; j < width; j += 2 * W) {
                vf keep[2];
                keep_pair(&a->drop, block + (uint32_t)(i * blocks + j / (2 * W)), keep, keep + 1);
                for (int half = 0; half < 2; half++) {
                    long at = j + half * W;
                    vf e = exp_of(load32(x + at) - lse), g = load32(dx + at) * keep[half];
                    dot += e * g;
                    store32(dx + at, e); /* the probability before dropout, needed once more below */
                    store32(x + at, g);
                }
            }
            /* Columns behind the sequence have a gradient of 0, because v there is 0: they add nothing to `dot`. */
            float delta = sum_of(dot);
            for (long j = 0; j < width; j += 2 * W) {
                vf keep[2];
                keep_pair(&a->drop, block + (uint32_t)(i * blocks + j / (2 * W)), keep, keep + 1);
                for (int half = 0; half < 2; half++) {
                    long at = j + half * W;
                    vf e = load32(dx + at), g = load32(x + at);
                    store32(dx + at, e * (g - delta));
                    store32(x + at, e * keep[half]);
                }
            }
        }
        product(p, 1, width, dout, d, dv, d, s, d, n);
        product(dp, width, 1, k, d, dq, d, n, d, s);
        product(dp, 1, width, q, d, dk, d, s, d, n);
        write_rows(a->dq + q_row * a->q_stride + head * d, a->q_stride, dq, scale, n, d, sums + head * d);
        write_rows(a->dk + row * a->kv_stride + head * d, a->kv_stride, dk, 1.0f, s, d, sums + h + head * d);
        write_rows(a->dv + row * a->kv_stride + head * d, a->kv_stride, dv, 1.0f, s, d, sums + 2 * h + head * d);
    }
}
/* Strides of the gradients are those of q and of k and v; dbias (3 x heads * d): of the queries, keys, values.
 * The caller zeroes rows behind the last token. `parts` holds threads x 3 x heads * d numbers. */
void attention_backward(const elem *q, long q_stride, const elem *k, const elem *v, long kv_stride, const float *bq,
                        const float *bk, const float *bv, const elem *dout, const float *lse, long lse_stride,
                        elem *dq, elem *dk, elem *dv, float *dbias, const int32_t *cu, long sequences, long heads,
                        long d, long max_length, long queries_each, float *scratch, float *parts, int accumulate,
                        uint32_t threshold, uint64_t seed, int threads) {
    attention a = {.q = q, .k = k, .v = v, .q_stride = q_stride, .kv_stride = kv_stride, .bq = bq, .bk = bk, .bv = bv,
                   .dout = dout, .lse = (float *)lse, .lse_stride = lse_stride, .dq = dq, .dk = dk, .dv = dv,
                   .scratch = scratch, .parts = parts, .cu = cu, .sequences = sequences, .heads = heads, .d = d,
                   .max_length = max_length, .queries_each = queries_each, .drop = make_dropout(threshold, seed)};
    int team = in_parallel(attention_backward_body, &a, threads);
    add_up(dbias, parts, 3 * heads * d, team, 3 * heads * d, accumulate);
}
