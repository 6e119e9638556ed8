/* Softmax attention of each sequence with itself, one task for each of its heads. */
typedef struct {
    const elem *qkv, *dout;
    const float *bias;
    elem *out, *dqkv;
    float *lse, *scratch, *parts;
    const int32_t *cu;
    long sequences, heads, d, max_length, lse_stride, stride, apart;
    float scale;
    dropout drop;
    const relative_attention *relative; /* what distances add to the scores; null for nothing */
    int32_t *head_begun;                /* see relative_attention.h */
} attention;

/* numbers of scratch that a thread needs */
long attention_scratch(long max_length, long d) {
    long wide = up(max_length, 2 * W);
    return (4 * max_length + 6 * wide) * d + 2 * max_length * wide + 16 * W;
}

INLINE void read_rows(const elem *from, long stride, const float *bias, float scale, float *to, long rows, long d) {
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < d; j += W) store32(to + i * d + j, (load(from + i * stride + j) + load32(bias + j)) * scale);
}
INLINE void write_rows(elem *to, long stride, const float *from, float scale, long rows, long d, float *sums) {
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < d; j += W) {
            vf x = load32(from + i * d + j) * scale;
            store(to + i * stride + j, x);
            if (sums) store32(sums + j, load32(sums + j) + x);
        }
}
/* Tasks go through the heads of each sequence; with distances through the sequences of each head, which read the same
 * numbers of them. */
INLINE long sequence_of(const attention *a, long task) { return a->relative ? task % a->sequences : task / a->heads; }
INLINE long head_of_task(const attention *a, long task) { return a->relative ? task / a->sequences : task % a->heads; }
INLINE float *scratch_of(const attention *a) {
    long size = attention_scratch(a->max_length, a->d) + (a->relative ? distance_room(a->max_length) : 0);
    return a->scratch + omp_get_thread_num() * size;
}
/* Which of the tasks (sequence x head) this thread does: equal shares of the cells of all attention matrices. */
INLINE void share_tasks(const attention *a, long *from, long *to) {
    double total = 0, done = 0;
    long t = omp_get_thread_num(), of = omp_get_num_threads(), tasks = a->sequences * a->heads;
    for (long b = 0; b < a->sequences; b++) {
        double s = a->cu[b + 1] - a->cu[b];
        total += (s * s + 8 * s) * a->heads;
    }
    *from = t == 0 ? 0 : -1;
    *to = tasks;
    for (long task = 0; task < tasks; task++) {
        long b = sequence_of(a, task);
        double s = a->cu[b + 1] - a->cu[b];
        if (*from < 0 && done >= total * t / of) *from = task;
        if (t + 1 < of && done >= total * (t + 1) / of) { *to = task; if (*from < 0) *from = task; return; }
        done += s * s + 8 * s;
    }
    if (*from < 0) *from = tasks;
}
INLINE uint32_t cells_before(const attention *a, long b, long head) { /* a block number that no two rows share */
    long wide = up(a->max_length, 2 * W) / (2 * W);
    return (uint32_t)((b * a->heads + head) * a->max_length * wide);
}
/* From scores to their exponentials, behind the `n` first 0; returns the logarithm of their sum, and in `*scale` what makes
 * probabilities of them. The rest of a row is masked in whole vectors: to read what single stores have just written waits. */
INLINE float softmax_row(float *x, long n, long width, float *scale) {
    long full = n / W * W;
    vi real = (vi)lanes() < (int32_t)(n - full);
    vf most = splat(-INFINITY), sum = {0};
    for (long j = 0; j < full; j += W) most = larger(load32(x + j), most);
    if (full < n) most = larger(choose(real, load32(x + full), splat(-INFINITY)), most);
    float top = max_of(most);
    for (long j = 0; j < full; j += W) {
        vf e = exp_of(load32(x + j) - top);
        store32(x + j, e);
        sum += e;
    }
    if (full < n) {
        vf e = choose(real, exp_of(load32(x + full) - top), splat(0.0f));
        store32(x + full, e);
        sum += e;
    }
    for (long j = up(n, W); j < width; j += W) store32(x + j, splat(0.0f));
    float total = sum_of(sum);
    *scale = 1.0f / total;
    return top + logf(total);
}

static void attention_forward_body(void *data) {
    const attention copy = *(const attention *)data, *a = &copy;
    long d = a->d, h = a->heads * d, from, to;
    float *q = scratch_of(a), *room = q + attention_scratch(a->max_length, d);
    share_tasks(a, &from, &to);
    for (long task = from; task < to; task++) {
        long b = sequence_of(a, task), head = head_of_task(a, task), row = a->cu[b], s = a->cu[b + 1] - row;
        int first_only = a->relative && a->relative->first_only;
        long m = first_only ? 1 : s, width = up(s, 2 * W), blocks = up(a->max_length, 2 * W) / (2 * W);
        float *k = q + s * d, *kt = k + width * d, *v = kt + width * d, *p = v + width * d, *o = p + s * width;
        const elem *in = a->qkv + row * a->stride + head * d;
        const float *bias = a->bias + head * d;
        read_rows(in, a->stride, bias, a->scale, q, m, d);
        read_rows(in + a->apart, a->stride, bias + h, 1.0f, k, s, d);
        read_rows(in + 2 * a->apart, a->stride, bias + 2 * h, 1.0f, v, s, d);
        turn_rows(k, kt, s, d, width);
        product(q, d, 1, kt, width, p, width, m, up(s, W), d);
        if (a->relative) add_distances(a->relative, head, q, k, p, (scores){m, s, width}, room);
        uint32_t block = cells_before(a, b, head);
        float *kept = kept_rows(a->relative, head, row);
        for (long i = 0; i < m; i++) {
            float *x = p + i * width, scale;
            a->lse[head * a->lse_stride + row + i] = softmax_row(x, s, width, &scale);
            for (long j = 0; kept && j < width; j += W) store32(kept + i * blocks * 2 * W + j, load32(x + j) * scale);
            for (long j = 0; j < width; j += 2 * W) {
                vf keep[2];
                keep_pair(&a->drop, block + (uint32_t)(i * blocks + j / (2 * W)), keep, keep + 1);
                store32(x + j, load32(x + j) * (scale * keep[0]));
                store32(x + j + W, load32(x + j + W) * (scale * keep[1]));
            }
        }
        product(p, width, 1, v, d, o, d, m, d, s);
        write_rows(a->out + (first_only ? b : row) * h + head * d, h, o, 1.0f, m, d, 0);
    }
}
/* qkv: queries, keys and values of heads * d numbers, heads side by side, a token each `stride` numbers; queries start at
 * 0, keys at `apart`, values at twice that. bias: (3 x heads * d). out: (tokens, heads * d); lse: (heads, lse_stride), the
 * logarithm of each softmax's sum. */
void attention_forward(const elem *qkv, const float *bias, elem *out, float *lse, long lse_stride, const int32_t *cu,
                       long sequences, long heads, long d, long stride, long apart, long max_length, long rows,
                       long padded_rows, float *scratch, uint32_t threshold, uint64_t seed, int threads) {
    attention a = {.qkv = qkv, .bias = bias, .out = out, .lse = lse, .lse_stride = lse_stride, .scratch = scratch,
                   .cu = cu, .sequences = sequences, .heads = heads, .d = d, .stride = stride, .apart = apart,
                   .max_length = max_length, .scale = 1.0f / sqrtf((float)d), .drop = make_dropout(threshold, seed)};
    in_parallel(attention_forward_body, &a, threads);
    zero_tail(out, rows, padded_rows, heads * d);
}

static void attention_backward_body(void *data) {
    const attention copy = *(const attention *)data, *a = &copy;
    long d = a->d, h = a->heads * d, from, to;
    float *q = scratch_of(a), *room = q + attention_scratch(a->max_length, d), *of_distances = 0,
          *sums = a->parts + omp_get_thread_num() * 3 * h;
    memset(sums, 0, 3 * h * sizeof(float));
    static const float none[MAX_HIDDEN];
    share_tasks(a, &from, &to);
    for (long task = from; task < to; task++) {
        long b = sequence_of(a, task), head = head_of_task(a, task), row = a->cu[b], s = a->cu[b + 1] - row;
        int first_only = a->relative && a->relative->first_only;
        long m = first_only ? 1 : s, width = up(s, 2 * W), blocks = up(a->max_length, 2 * W) / (2 * W);
        if (a->relative && (task == from || b == 0))
            of_distances = begin_head(a->relative, head, b == 0, a->head_begun);
        float *dout = q + s * d, *dq = dout + s * d, *k = dq + s * d, *kt = k + width * d, *v = kt + width * d,
              *vt = v + width * d, *dk = vt + width * d, *dv = dk + width * d, *p = dv + width * d, *dp = p + s * width;
        const elem *in = a->qkv + row * a->stride + head * d;
        const float *bias = a->bias + head * d;
        read_rows(in, a->stride, bias, a->scale, q, m, d);
        read_rows(in + a->apart, a->stride, bias + h, 1.0f, k, s, d);
        read_rows(in + 2 * a->apart, a->stride, bias + 2 * h, 1.0f, v, s, d);
        read_rows(a->dout + (first_only ? b : row) * h + head * d, h, none, 1.0f, dout, m, d);
        turn_rows(v, vt, s, d, width);
        const float *kept_before = kept_rows(a->relative, head, row);
        if (!kept_before) {
            turn_rows(k, kt, s, d, width);
            product(q, d, 1, kt, width, p, width, m, up(s, W), d);
            if (a->relative) add_distances(a->relative, head, q, k, p, (scores){m, s, width}, room);
        }
        product(dout, d, 1, vt, width, dp, width, m, up(s, W), d);
        uint32_t block = cells_before(a, b, head);
        for (long i = 0; i < m; i++) {
            float *x = p + i * width, *dx = dp + i * width, lse = a->lse[head * a->lse_stride + row + i];
            vf dot = {0};
            if (up(s, W) < width) { store32(x + width - W, splat(0.0f)); store32(dx + width - W, splat(0.0f)); }
            for (long j = 0; j < width; j += 2 * W) {
                vf keep[2];
                keep_pair(&a->drop, block + (uint32_t)(i * blocks + j / (2 * W)), keep, keep + 1);
                for (int half = 0; half < 2; half++) {
                    long at = j + half * W;
                    vf e = kept_before ? load32(kept_before + i * blocks * 2 * W + at) : exp_of(load32(x + at) - lse),
                       g = load32(dx + at) * keep[half];
                    dot += e * g;
                    /* The probability before dropout, needed once more below, negative where it was dropped. */
                    store32(dx + at, choose(keep[half] > splat(0.0f), e, -e));
                    store32(x + at, g);
                }
            }
            /* Columns behind the sequence have a gradient of 0, because v there is 0: they add nothing to `dot`. */
            float delta = sum_of(dot);
            for (long j = 0; j < width; j += W) {
                vf e = load32(dx + j), g = load32(x + j);
                vi kept = e > splat(0.0f);
                store32(dx + j, choose(kept, e, -e) * (g - delta));
                store32(x + j, choose(kept, e * a->drop.scale, splat(0.0f)));
            }
        }
        product(p, 1, width, dout, d, dv, d, s, d, m);
        product(dp, width, 1, k, d, dq, d, m, d, s);
        product(dp, 1, width, q, d, dk, d, s, d, m);
        if (a->relative)
            distance_gradients(a->relative, head, (contents){q, k, dq, dk}, dp, (scores){m, s, width}, of_distances, room);
        elem *into = a->dqkv + row * a->stride + head * d;
        write_rows(into, a->stride, dq, a->scale, m, d, sums + head * d);
        for (long i = m; i < s; i++) memset(into + i * a->stride, 0, d * sizeof(elem));
        write_rows(into + a->apart, a->stride, dk, 1.0f, s, d, sums + h + head * d);
        write_rows(into + 2 * a->apart, a->stride, dv, 1.0f, s, d, sums + 2 * h + head * d);
    }
}
/* dqkv and dbias are laid out as qkv and bias. `parts` holds threads x 3 x heads * d numbers. */
void attention_backward(const elem *qkv, const float *bias, const elem *dout, const float *lse, long lse_stride,
                        elem *dqkv, float *dbias, const int32_t *cu, long sequences, long heads, long d,
                        long stride, long apart, long max_length, long rows, long padded_rows, float *scratch,
                        float *parts, int accumulate, uint32_t threshold, uint64_t seed, int threads) {
    attention a = {.qkv = qkv, .bias = bias, .dout = dout, .lse = (float *)lse, .lse_stride = lse_stride, .dqkv = dqkv,
                   .scratch = scratch, .parts = parts, .cu = cu, .sequences = sequences, .heads = heads, .d = d,
                   .stride = stride, .apart = apart, .max_length = max_length, .scale = 1.0f / sqrtf((float)d),
                   .drop = make_dropout(threshold, seed)};
    int team = in_parallel(attention_backward_body, &a, threads);
    if (stride == 3 * heads * d) zero_tail(dqkv, rows, padded_rows, stride);
    else for (int part = 0; part < 3; part++) zero_tail(dqkv + part * apart, rows, padded_rows, stride);
    add_up(dbias, parts, 3 * heads * d, team, 3 * heads * d, accumulate);
}
