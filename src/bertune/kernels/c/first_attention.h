/* Attention of each sequence's first token with its sequence, for a last layer of which nothing else is wanted.
 *
 * Keys and values of the other tokens are never made. A query meets a key as q (W x + b) = (q W) x + q b, and q b is the
 * same for every key, so that softmax does not see it: each head's query goes through the matrix of the keys once, and
 * meets the tokens themselves. So do the values: the weighted sum of W x + b is W times that of x, and b times the sum
 * of the weights, which is 1 but for dropout. All of it is float32, with the parameters themselves.
 *
 * What is kept for the backward pass has a row for each sequence, or for each of its heads.
 */
typedef struct {
    const elem *x;               /* (tokens, h) */
    const float *weight, *bias;  /* (3 h, h) and (3 h): queries, keys, values */
    const int32_t *cu;
    elem *out, *rows;            /* (sequences, h): the heads side by side; the first tokens */
    float *first, *q;            /* (sequences, h): the first tokens, and their queries with the softmax's scale */
    float *keyed, *mixed;        /* (sequences, heads, h): queries through the keys' matrix; weighted sums of tokens */
    float *weights, *totals;     /* (heads, tokens) a sequence: softmax, negative where dropped; (sequences, heads): sums */
    const elem *dout, *dresidual; /* (sequences, h): gradients of `out`, and of the first tokens by another way */
    elem *dx, *dweight;          /* (tokens, h), (3 h, h) */
    float *dbias;
    float *g, *dq, *dfirst;      /* (sequences, h): room */
    float *dkeyed, *dmixed, *dtotals;
    float *scratch;              /* threads x first_attention_scratch */
    int64_t sequences, heads, d, padded, max_length;
} first_attention;

typedef struct {
    const first_attention *of;
    long h, tokens;
    float scale;
    dropout drop;
    int accumulate;
} first_task;

/* sequences that are taken together with one head's matrix; rows of a matrix that are one task */
enum { SOME_SEQUENCES = 8, SOME_ROWS = 16 };

/* numbers of scratch that a thread needs */
long first_attention_scratch(long max_length, long heads, long h) {
    return 2 * max_length * h + 2 * heads * up(max_length, 2 * W) + 2 * heads * h + SOME_ROWS * h;
}
INLINE float *first_scratch(const first_attention *a, long h) {
    return a->scratch + omp_get_thread_num() * first_attention_scratch(a->max_length, a->heads, h);
}
/* Sequences of a thread: those that begin in its share of the tokens. */
INLINE void share_sequences(const first_attention *a, long tokens, long *from, long *to) {
    long first, last, b = 0;
    share(tokens, &first, &last);
    while (b < a->sequences && a->cu[b] < first) b++;
    *from = b;
    while (b < a->sequences && a->cu[b] < last) b++;
    *to = b;
}
/* Task t of a thread's: a head, and some sequences from *b on. */
INLINE long head_of(const first_attention *a, long t, long *b, long *count) {
    *b = t / a->heads * SOME_SEQUENCES;
    *count = least(SOME_SEQUENCES, a->sequences - *b);
    return t % a->heads;
}
INLINE long head_tasks(const first_attention *a) { return (a->sequences + SOME_SEQUENCES - 1) / SOME_SEQUENCES * a->heads; }
INLINE void widen(const elem *from, float *to, long n) {
    for (long j = 0; j < n; j += W) store32(to + j, load(from + j));
}

static void first_rows_body(void *data) {
    const first_task *t = data;
    const first_attention *a = t->of;
    long from, to;
    share(a->sequences, &from, &to);
    for (long b = from; b < to; b++) {
        const elem *row = a->x + a->cu[b] * t->h;
        memcpy(a->rows + b * t->h, row, t->h * sizeof(elem));
        widen(row, a->first + b * t->h, t->h);
    }
}
static void first_queries_body(void *data) {
    const first_task *t = data;
    const first_attention *a = t->of;
    long h = t->h, from, to;
    share(h / SOME_ROWS, &from, &to);
    for (long r = from * SOME_ROWS; r < to * SOME_ROWS; r += SOME_ROWS) {
        dots(a->first, h, a->weight + r * h, h, a->q + r, h, a->sequences, SOME_ROWS, h);
        for (long b = 0; b < a->sequences; b++)
            for (long j = r; j < r + SOME_ROWS; j++) a->q[b * h + j] = (a->q[b * h + j] + a->bias[j]) * t->scale;
    }
}
static void first_keyed_body(void *data) {
    const first_task *t = data;
    const first_attention *a = t->of;
    long h = t->h, d = a->d, from, to, b, count;
    share(head_tasks(a), &from, &to);
    for (long task = from; task < to; task++) {
        long head = head_of(a, task, &b, &count);
        product(a->q + b * h + head * d, h, 1, a->weight + (h + head * d) * h, h,
                a->keyed + (b * a->heads + head) * h, a->heads * h, count, h, d);
    }
}
static void first_mixed_body(void *data) {
    const first_task *t = data;
    const first_attention *a = t->of;
    long h = t->h, n = a->heads, from, to, blocks = up(a->max_length, 2 * W) / (2 * W);
    float *x = first_scratch(a, h), *p = x + a->max_length * h;
    share_sequences(a, t->tokens, &from, &to);
    for (long b = from; b < to; b++) {
        long row = a->cu[b], s = a->cu[b + 1] - row, width = up(s, 2 * W);
        widen(a->x + row * h, x, s * h);
        dots(a->keyed + b * n * h, h, x, h, p, width, n, s, h);
        for (long head = 0; head < n; head++) {
            float *w = p + head * width, *kept = a->weights + n * row + head * s, scale;
            softmax_row(w, s, width, &scale);
            vf sum = {0};
            for (long j = 0; j < width; j += 2 * W) {
                vf keep[2];
                keep_pair(&t->drop, (uint32_t)((b * n + head) * blocks + j / (2 * W)), keep, keep + 1);
                for (int half = 0; half < 2; half++) {
                    vf e = load32(w + j + half * W) * scale, dropped = e * keep[half];
                    vf marked = choose(keep[half] > splat(0.0f), e, -e);
                    long at = j + half * W, rest = least(W, s - at);
                    sum += dropped;
                    store32(w + at, dropped);
                    for (long lane = 0; lane < rest; lane++) kept[at + lane] = marked[lane];
                }
            }
            a->totals[b * n + head] = sum_of(sum);
        }
        product(p, width, 1, x, h, a->mixed + b * n * h, h, n, h, s);
    }
}
static void first_values_body(void *data) {
    const first_task *t = data;
    const first_attention *a = t->of;
    long h = t->h, d = a->d, n = a->heads, from, to, b, count;
    float *o = first_scratch(a, h);
    share(head_tasks(a), &from, &to);
    for (long task = from; task < to; task++) {
        long head = head_of(a, task, &b, &count);
        dots(a->mixed + (b * n + head) * h, n * h, a->weight + (2 * h + head * d) * h, h, o, d, count, d, h);
        for (long i = 0; i < count; i++)
            for (long j = 0; j < d; j += W) {
                vf v = load32(o + i * d + j) + a->totals[(b + i) * n + head] * load32(a->bias + 2 * h + head * d + j);
                store(a->out + (b + i) * h + head * d + j, v);
            }
    }
}
static first_task first_task_of(const first_attention *a, long tokens, uint32_t threshold, uint64_t seed) {
    return (first_task){a, a->heads * a->d, tokens, 1.0f / sqrtf((float)a->d), make_dropout(threshold, seed), 0};
}
void first_attention_forward(const first_attention *a, long tokens, uint32_t threshold, uint64_t seed, int threads) {
    first_task t = first_task_of(a, tokens, threshold, seed);
    in_parallel(first_rows_body, &t, threads);
    in_parallel(first_queries_body, &t, threads);
    in_parallel(first_keyed_body, &t, threads);
    in_parallel(first_mixed_body, &t, threads);
    in_parallel(first_values_body, &t, threads);
}

static void first_dmixed_body(void *data) {
    const first_task *t = data;
    const first_attention *a = t->of;
    long h = t->h, d = a->d, n = a->heads, from, to, b, count;
    share(head_tasks(a), &from, &to);
    for (long task = from; task < to; task++) {
        long head = head_of(a, task, &b, &count);
        for (long i = b; i < b + count; i++) {
            float *g = a->g + i * h + head * d;
            vf sum = {0};
            widen(a->dout + i * h + head * d, g, d);
            for (long j = 0; j < d; j += W) sum += load32(g + j) * load32(a->bias + 2 * h + head * d + j);
            a->dtotals[i * n + head] = sum_of(sum);
        }
        product(a->g + b * h + head * d, h, 1, a->weight + (2 * h + head * d) * h, h,
                a->dmixed + (b * n + head) * h, n * h, count, h, d);
    }
}
static void first_dx_body(void *data) {
    const first_task *t = data;
    const first_attention *a = t->of;
    long h = t->h, n = a->heads, from, to;
    float *x = first_scratch(a, h), *dx = x + a->max_length * h, *both = dx + a->max_length * h,
          *ds = both + 2 * n * h;
    share_sequences(a, t->tokens, &from, &to);
    for (long b = from; b < to; b++) {
        long row = a->cu[b], s = a->cu[b + 1] - row, width = up(s, 2 * W);
        float *p = ds + n * width; /* directly behind ds: one product takes both */
        widen(a->x + row * h, x, s * h);
        dots(a->dmixed + b * n * h, h, x, h, ds, width, n, s, h);
        for (long head = 0; head < n; head++) {
            const float *kept = a->weights + n * row + head * s;
            float *w = p + head * width, *g = ds + head * width, delta = 0;
            for (long j = 0; j < s; j++) {
                float e = kept[j], scale = e > 0 ? t->drop.scale : 0;
                g[j] = (g[j] + a->dtotals[b * n + head]) * scale;
                w[j] = e * scale;
                delta += g[j] * (e > 0 ? e : -e);
            }
            for (long j = 0; j < s; j++) g[j] = (kept[j] > 0 ? kept[j] : -kept[j]) * (g[j] - delta);
        }
        product(ds, width, 1, x, h, a->dkeyed + b * n * h, h, n, h, s);
        memcpy(both, a->keyed + b * n * h, n * h * sizeof(float));
        memcpy(both + n * h, a->dmixed + b * n * h, n * h * sizeof(float));
        product(ds, 1, width, both, h, dx, h, s, h, 2 * n);
        for (long j = 0; j < s * h; j += W) store(a->dx + row * h + j, load32(dx + j));
        memcpy(a->dfirst + b * h, dx, h * sizeof(float));
    }
}
/* Of a matrix. It is added to what is there only in float32: gradients in bfloat16 are those of one part of a batch, and
 * who adds up parts does it in float32. */
INLINE void write_gradient(const first_task *t, const float *from, long row) {
    long h = t->h;
    elem *to = t->of->dweight + row * h;
    for (long j = 0; j < SOME_ROWS * h; j += W) {
        vf g = load32(from + j);
        if (t->accumulate && sizeof(elem) == sizeof(float)) g += load(to + j);
        store(to + j, g);
    }
}
/* Of a bias: the sum over sequences of its rows' gradients, each times a factor where there are some. */
INLINE void write_bias_gradient(const first_task *t, const float *g, const float *factors, long place) {
    const first_attention *a = t->of;
    for (long j = 0; j < SOME_ROWS; j++) {
        float sum = t->accumulate ? a->dbias[place + j] : 0;
        for (long b = 0; b < a->sequences; b++) sum += g[b * t->h + j] * (factors ? factors[b * a->heads] : 1.0f);
        a->dbias[place + j] = sum;
    }
}
static void first_dweight_body(void *data) {
    const first_task *t = data;
    const first_attention *a = t->of;
    long h = t->h, n = a->heads, from, to, many = a->sequences;
    float *rows = first_scratch(a, h);
    share(h / SOME_ROWS, &from, &to);
    for (long r = from * SOME_ROWS; r < to * SOME_ROWS; r += SOME_ROWS) {
        long head = r / a->d;
        const float *dkeyed = a->dkeyed + head * h, *mixed = a->mixed + head * h;
        product(a->g + r, 1, h, mixed, n * h, rows, h, SOME_ROWS, h, many);
        write_gradient(t, rows, 2 * h + r);
        /* The values' bias counts as often as the softmax sums up to after dropout; that of the keys not at all. */
        write_bias_gradient(t, a->g + r, a->totals + head, 2 * h + r);
        if (!t->accumulate) memset(a->dbias + h + r, 0, SOME_ROWS * sizeof(float));
        product(a->q + r, 1, h, dkeyed, n * h, rows, h, SOME_ROWS, h, many);
        write_gradient(t, rows, h + r);
        dots(dkeyed, n * h, a->weight + (h + r) * h, h, a->dq + r, h, many, SOME_ROWS, h);
        for (long b = 0; b < many; b++)
            for (long j = r; j < r + SOME_ROWS; j++) a->dq[b * h + j] *= t->scale;
        product(a->dq + r, 1, h, a->first, h, rows, h, SOME_ROWS, h, many);
        write_gradient(t, rows, r);
        write_bias_gradient(t, a->dq + r, 0, r);
    }
}
static void first_dfirst_body(void *data) {
    const first_task *t = data;
    const first_attention *a = t->of;
    long h = t->h, from, to;
    float *rows = first_scratch(a, h);
    share((a->sequences + 3) / 4, &from, &to);
    for (long b = 4 * from; b < least(4 * to, a->sequences); b += 4) {
        long count = least(4, a->sequences - b);
        product(a->dq + b * h, h, 1, a->weight, h, rows, h, count, h, h);
        for (long i = 0; i < count; i++)
            for (long j = 0; j < h; j += W)
                store(a->dx + a->cu[b + i] * h + j, load32(rows + i * h + j) + load32(a->dfirst + (b + i) * h + j) +
                                                        load(a->dresidual + (b + i) * h + j));
    }
}
void first_attention_backward(const first_attention *a, long tokens, int accumulate, uint32_t threshold, uint64_t seed,
                              int threads) {
    first_task t = first_task_of(a, tokens, threshold, seed);
    t.accumulate = accumulate;
    in_parallel(first_dmixed_body, &t, threads);
    in_parallel(first_dx_body, &t, threads);
    in_parallel(first_dweight_body, &t, threads);
    in_parallel(first_dfirst_body, &t, threads);
    zero_tail(a->dx, tokens, a->padded, t.h);
}
