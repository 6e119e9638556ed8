/* Softmax attention in blocks of queries and keys, where a token may see only the tokens near it.
 *
 * A query sees the keys that are at most `reach` away; where that is all of them it is attention as elsewhere. Scores are
 * made for a block of queries and of keys at a time, and blocks that no query sees are never made: the cost grows with the
 * length times the reach, and the room with the length. The softmax of a row is put together block by block (Milakov and
 * Gimelshein, 2018; Dao et al., 2022), and the backward pass makes it again from the logarithm of its sum.
 */
typedef struct {
    const elem *qkv, *dout;
    elem *out, *dqkv;
    float *lse, *scratch;
    const int32_t *cu;
    long sequences, heads, d, max_length, lse_stride, reach, asking, block_queries, block_keys;
    float scale; /* of scores, whose powers of two make the softmax */
    dropout drop;
} window_attention;

/* Blocks are small where a window ends within them: what lies beyond it is computed for nothing. */
INLINE int is_narrow(long reach, long max_length) { return 2 * reach + 1 < max_length; }
INLINE long queries_at_once(long reach, long max_length) { return is_narrow(reach, max_length) ? 32 : 64; }
INLINE long keys_at_once(long reach, long max_length) { return is_narrow(reach, max_length) ? 32 : 128; }

/* numbers of scratch that a thread needs */
long window_attention_scratch(long max_length, long d, long reach) {
    long q = queries_at_once(reach, max_length), k = keys_at_once(reach, max_length), words = d / PAIR;
    long forward = 2 * up(max_length, k) * words + (q + k) * words + 2 * q * k + q * d + 2 * q;
    long backward = up(max_length, q) * (4 * words + d + 2) + 4 * k * words + 2 * k * d + 5 * q * k;
    return (forward > backward ? forward : backward) + 16 * W;
}
/* Which of a block's columns a query sees: those from `from` on and below `to`. */
typedef struct { int32_t from, to; } sight;
INLINE sight sight_of(const window_attention *a, long row, long first_key, long s) {
    if (row >= s) return (sight){0, 0};
    long from = row - a->reach - first_key, to = row + a->reach + 1;
    return (sight){(int32_t)(from < 0 ? 0 : from), (int32_t)((to < s ? to : s) - first_key)};
}
INLINE vi sees(sight of, long j) {
    vi column = (vi)lanes() + (int32_t)j;
    return (column >= of.from) & (column < of.to);
}
/* The number of a row's first block of random bits; no two rows share one. */
INLINE uint32_t bits_of_row(const window_attention *a, long task, long row) {
    return (uint32_t)((task * a->max_length + row) * (up(a->max_length, 2 * W) / (2 * W)));
}

/* Whether every query of a block sees every key of one. */
INLINE int sees_whole(const window_attention *a, long first, long m, long key, long n, long s) {
    return key + n <= s && first + m <= s && first + m - 1 - key <= a->reach && key + n - 1 - first <= a->reach;
}
/* 2 to the x, for x of at most about 0: to a unit in the last place, or so exactly that bfloat16 does not notice. */
INLINE vf power_of_two(vf x) {
    x = larger(splat(-125.0f), x);
    vf moved = x + 12582912.0f, f = x - (moved - 12582912.0f);
#if BF16
    vf y = splat(1.33335581e-3f);
#else
    vf y = splat(1.52527338e-5f);
    y = y * f + 1.54035304e-4f;
    y = y * f + 1.33335581e-3f;
#endif
    y = y * f + 9.61812911e-3f;
    y = y * f + 5.55041087e-2f;
    y = y * f + 2.40226507e-1f;
    y = y * f + 6.93147181e-1f;
    y = y * f + 1.0f;
    return (vf)((vi)y + ((vi)moved << 23));
}
/* What is known of a row's softmax so far: its largest score, and the sum of powers of two relative to that. */
typedef struct { float top, sum; } softmax;

/* Takes a block's scores into a row's softmax: their powers go to `p`, and `o` is scaled to a new largest one. */
INLINE void soften(const window_attention *a, const int whole, const float *x, long n, sight see, uint32_t bits,
                   softmax *soft, float *p, float *o) {
    vf most = splat(-INFINITY), sum = {0};
    for (long j = 0; j < n; j += W) {
        vf score = load32(x + j);
        most = larger(whole ? score : choose(sees(see, j), score, most), most);
    }
    float top = max_of(most) * a->scale;
    if (top > soft->top) {
        float shrink = power_of_two(splat(soft->top - top))[0];
        soft->sum *= shrink;
        for (long j = 0; j < a->d; j += W) store32(o + j, load32(o + j) * shrink);
        soft->top = top;
    }
    for (long j = 0; j < n; j += 2 * W) {
        vf keep[2];
        keep_pair(&a->drop, bits + (uint32_t)(j / (2 * W)), keep, keep + 1);
        for (int half = 0; half < 2; half++) {
            long at = j + half * W;
            vf e = power_of_two(load32(x + at) * a->scale - soft->top);
            if (!whole) e = choose(sees(see, at), e, splat(0.0f));
            sum += e;
            store_words(p, at, e * keep[half]);
        }
    }
    soft->sum += sum_of(sum);
}
static void attend_task(const window_attention *a, long b, long head, float *room) {
    long d = a->d, h = a->heads * d, words = d / PAIR, row = a->cu[b], s = a->cu[b + 1] - row, task = b * a->heads + head;
    long many = a->block_queries, wide = a->block_keys, asking = least(s, a->asking);
    float *kt = room, *v = kt + up(s, wide) * words, *taken = v + up(s, wide) * words, *q = taken + wide * words,
          *x = q + many * words, *p = x + many * wide, *o = p + many * wide;
    softmax *soft = (softmax *)(o + many * d);
    const elem *in = a->qkv + row * 3 * h + head * d;
    /* Where only first queries ask, keys that they do not see are not laid out. */
    long seen = least(s, asking + a->reach);
    for (long j = 0; j < seen; j += wide) {
        long rows = least(wide, s - j);
        take_rows(in + j * 3 * h + h, 3 * h, taken, rows, rows, d);
        turn_words(taken, kt + j * words, rows, words, wide);
        take_rows(in + j * 3 * h + 2 * h, 3 * h, taken, rows, wide, d);
        weave_rows(taken, v + j * words, wide, d);
    }
    for (long first = 0; first < asking; first += many) {
        long rows = least(many, asking - first), m = up(rows, 4);
        take_rows(in + first * 3 * h, 3 * h, q, rows, m, d);
        memset(o, 0, (size_t)(m * d) * sizeof(float));
        for (long i = 0; i < m; i++) soft[i] = (softmax){-1e30f, 0};
        long from = first > a->reach ? (first - a->reach) / wide * wide : 0, to = least(s, first + rows + a->reach);
        for (long j = from; j < to; j += wide) {
            long n = up(least(wide, s - j), 2 * W);
            set_product(q, words, 1, kt + j * words, wide, x, wide, m, n, words);
            int whole = sees_whole(a, first, m, j, n, s);
            for (long i = 0; i < m; i++) {
                uint32_t bits = bits_of_row(a, task, first + i) + (uint32_t)(j / (2 * W));
                sight see = sight_of(a, first + i, j, s);
                if (whole) soften(a, 1, x + i * wide, n, see, bits, soft + i, p + i * (wide / PAIR), o + i * d);
                else soften(a, 0, x + i * wide, n, see, bits, soft + i, p + i * (wide / PAIR), o + i * d);
            }
            add_block_product(p, wide / PAIR, 1, v + j * words, d, o, d, m, d, n / PAIR);
        }
        for (long i = 0; i < rows; i++) {
            a->lse[head * a->lse_stride + row + first + i] = soft[i].top + log2f(soft[i].sum);
            elem *out = a->out + (row + first + i) * h + head * d;
            for (long j = 0; j < d; j += W) store(out + j, load32(o + i * d + j) * (1.0f / soft[i].sum));
        }
    }
}

/* Probabilities and gradients of scores, from scores and dout v. Rows that only fill a block have a dout of 0. */
INLINE void slope_block(const window_attention *a, const int whole, const float *x, const float *dx, long m, long n,
                        long first, long key, long s, long task, const float *lse, const float *delta, float *p_woven,
                        float *ds, float *ds_woven) {
    long wide = a->block_keys;
    for (long i = 0; i < m; i += PAIR)
        for (long j = 0; j < n; j += 2 * W) {
            vf p[2][PAIR], g[2][PAIR];
            for (int u = 0; u < PAIR; u++) {
                long row = first + i + u;
                sight see = sight_of(a, row, key, s);
                vf keep[2];
                keep_pair(&a->drop, bits_of_row(a, task, row) + (uint32_t)((key + j) / (2 * W)), keep, keep + 1);
                for (int half = 0; half < 2; half++) {
                    long at = j + half * W;
                    vf e = power_of_two(load32(x + (i + u) * wide + at) * a->scale - lse[i + u]);
                    if (!whole) e = choose(sees(see, at), e, splat(0.0f));
                    p[half][u] = e * keep[half];
                    g[half][u] = e * (load32(dx + (i + u) * wide + at) * keep[half] - delta[i + u]);
                    store_words(ds + (i + u) * (wide / PAIR), at, g[half][u]);
                }
            }
            for (int half = 0; half < 2; half++) {
                store32(p_woven + i / PAIR * wide + j + half * W, woven(p[half]));
                store32(ds_woven + i / PAIR * wide + j + half * W, woven(g[half]));
            }
        }
}
/* Sums of a row of dout times a row of out: what all scores of a query have in common in their gradients. */
INLINE float common_slope(const elem *dout, const elem *out, long d) {
    vf dot = {0};
    for (long j = 0; j < d; j += W) dot += load(dout + j) * load(out + j);
    return sum_of(dot);
}
INLINE void put_rows(elem *to, long stride, const float *from, float scale, long rows, long d) {
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < d; j += W) store(to + i * stride + j, load32(from + i * d + j) * scale);
}
static void attend_task_backward(const window_attention *a, long b, long head, float *room) {
    long d = a->d, h = a->heads * d, words = d / PAIR, row = a->cu[b], s = a->cu[b + 1] - row, task = b * a->heads + head;
    long many = a->block_queries, wide = a->block_keys, asking = least(s, a->asking), all = up(asking, many);
    float *q = room, *q_woven = q + all * words, *g = q_woven + all * words, *g_woven = g + all * words,
          *dq = g_woven + all * words, *lse = dq + up(s, many) * d, *delta = lse + all, *taken = delta + all,
          *kt = taken + wide * words, *k_woven = kt + wide * words, *vt = k_woven + wide * words,
          *dk = vt + wide * words, *dv = dk + wide * d, *x = dv + wide * d, *dx = x + many * wide, *p = dx + many * wide,
          *ds = p + many * wide, *ds_woven = ds + many * wide;
    const elem *in = a->qkv + row * 3 * h + head * d, *dout = a->dout + row * h + head * d,
               *out = a->out + row * h + head * d;
    elem *into = a->dqkv + row * 3 * h + head * d;
    const float slope = 1.0f / sqrtf((float)d);
    take_rows(in, 3 * h, q, asking, all, d);
    weave_rows(q, q_woven, all, d);
    take_rows(dout, h, g, asking, all, d);
    weave_rows(g, g_woven, all, d);
    memset(dq, 0, (size_t)(up(s, many) * d) * sizeof(float));
    for (long i = 0; i < all; i++) {
        lse[i] = i < asking ? a->lse[head * a->lse_stride + row + i] : 0;
        delta[i] = i < asking ? common_slope(dout + i * h, out + i * h, d) : 0;
    }
    for (long j = 0; j < s; j += wide) {
        long keys = least(wide, s - j), n = up(keys, 2 * W);
        memset(dk, 0, (size_t)(2 * wide * d) * sizeof(float));
        take_rows(in + j * 3 * h + 2 * h, 3 * h, taken, keys, keys, d);
        turn_words(taken, vt, keys, words, wide);
        take_rows(in + j * 3 * h + h, 3 * h, taken, keys, wide, d);
        turn_words(taken, kt, keys, words, wide);
        weave_rows(taken, k_woven, wide, d);
        long from = j > a->reach ? (j - a->reach) / many * many : 0, to = least(asking, j + keys + a->reach);
        for (long i = from; i < to; i += many) {
            long m = up(least(many, asking - i), 4);
            set_product(q + i * words, words, 1, kt, wide, x, wide, m, n, words);
            set_product(g + i * words, words, 1, vt, wide, dx, wide, m, n, words);
            if (sees_whole(a, i, m, j, n, s))
                slope_block(a, 1, x, dx, m, n, i, j, s, task, lse + i, delta + i, p, ds, ds_woven);
            else slope_block(a, 0, x, dx, m, n, i, j, s, task, lse + i, delta + i, p, ds, ds_woven);
            add_block_product(p, 1, wide, g_woven + i * words, d, dv, d, n, d, m / PAIR);
            add_block_product(ds, wide / PAIR, 1, k_woven, d, dq + i * d, d, m, d, n / PAIR);
            add_block_product(ds_woven, 1, wide, q_woven + i * words, d, dk, d, n, d, m / PAIR);
        }
        put_rows(into + j * 3 * h + h, 3 * h, dk, slope, keys, d);
        put_rows(into + j * 3 * h + 2 * h, 3 * h, dv, 1.0f, keys, d);
    }
    put_rows(into, 3 * h, dq, slope, s, d);
}

/* A thread's tasks (sequence x head) are those that begin in its share of all cells that are seen. */
INLINE void share_windows(const window_attention *a, void (*task)(const window_attention *, long, long, float *)) {
    double total = 0, before = 0, reach = (double)a->reach;
    long t = omp_get_thread_num(), of = omp_get_num_threads();
    float *room = a->scratch + t * window_attention_scratch(a->max_length, a->d, a->reach);
    for (int work = 0; work < 2; work++)
        for (long b = 0; b < a->sequences; b++) {
            double s = a->cu[b + 1] - a->cu[b], cost = s * ((s < 2 * reach + 1 ? s : 2 * reach + 1) + 64);
            if (work)
                for (long head = 0; head < a->heads; head++, before += cost) {
                    if ((long)(before * of / total) == t) task(a, b, head, room);
                }
            else total += cost * a->heads;
        }
}
static void window_attention_forward_body(void *data) {
    const window_attention copy = *(const window_attention *)data;
    share_windows(&copy, attend_task);
}
static void window_attention_backward_body(void *data) {
    const window_attention copy = *(const window_attention *)data;
    share_windows(&copy, attend_task_backward);
}
/* qkv: queries, keys and values of heads * d numbers side by side. A query sees keys that are at most `reach` away, and
 * only the first `asking` queries of each sequence are computed. out: (tokens, heads * d), of which other rows stay as
 * they are; lse: (heads, lse_stride), the logarithm of each softmax's sum, of base 2. */
void window_attention_forward(const elem *qkv, elem *out, float *lse, long lse_stride, const int32_t *cu, long sequences,
                              long heads, long d, long max_length, long reach, long asking, long rows, long padded_rows,
                              float *scratch, uint32_t threshold, uint64_t seed, int threads) {
    window_attention a = {.qkv = qkv, .out = out, .lse = lse, .lse_stride = lse_stride, .cu = cu, .sequences = sequences,
                          .heads = heads, .d = d, .max_length = max_length, .reach = reach, .asking = asking,
                          .block_queries = queries_at_once(reach, max_length),
                          .block_keys = keys_at_once(reach, max_length), .scratch = scratch,
                          .scale = 1.44269504f / sqrtf((float)d), .drop = make_dropout(threshold, seed)};
    in_parallel(window_attention_forward_body, &a, threads);
    zero_tail(out, rows, padded_rows, heads * d);
}
/* out and lse are what the forward pass gave; dqkv is laid out as qkv. */
void window_attention_backward(const elem *qkv, const elem *out, const elem *dout, const float *lse, long lse_stride,
                               elem *dqkv, const int32_t *cu, long sequences, long heads, long d, long max_length,
                               long reach, long asking, long rows, long padded_rows, float *scratch, uint32_t threshold,
                               uint64_t seed, int threads) {
    window_attention a = {.qkv = qkv, .out = (elem *)out, .dout = dout, .dqkv = dqkv, .lse = (float *)lse,
                          .lse_stride = lse_stride, .cu = cu, .sequences = sequences, .heads = heads, .d = d,
                          .max_length = max_length, .reach = reach, .asking = asking,
                          .block_queries = queries_at_once(reach, max_length),
                          .block_keys = keys_at_once(reach, max_length), .scratch = scratch,
                          .scale = 1.44269504f / sqrtf((float)d), .drop = make_dropout(threshold, seed)};
    in_parallel(window_attention_backward_body, &a, threads);
    zero_tail(dqkv, rows, padded_rows, 3 * heads * d);
}
