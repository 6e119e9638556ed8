/* residual + dropout(x + bias), and the norm of that, in layers that normalize what their parts take.
 *
 * The sum is kept as well, since the next residual is added to it. Each half may be missing: without x it is the norm of
 * the residual, without gamma the sum alone. */
typedef struct {
    const elem *x, *residual, *g_sum, *g_out;
    const float *bias, *gamma, *beta;
    float eps;
    elem *sum, *out, *dx, *dsum;
    float *mean, *rstd, *parts;
    long rows, h;
    dropout drop;
} added_norm;

INLINE void added_row(const added_norm *r, long i) {
    long h = r->h;
    for (long j = 0; j < h; j += 2 * W) {
        vf keep[2];
        keep_pair(&r->drop, (uint32_t)((i * h + j) / (2 * W)), keep, keep + 1);
        for (int half = 0; half < 2; half++) {
            long at = j + half * W, cell = i * h + at;
            vf x = load(r->x + cell);
            if (r->bias) x += load32(r->bias + at);
            store(r->sum + cell, load(r->residual + cell) + x * keep[half]);
        }
    }
}
static void add_norm_forward_body(void *data) {
    const added_norm copy = *(const added_norm *)data, *r = &copy;
    float s[MAX_HIDDEN];
    long from, to, h = r->h;
    share(r->rows, &from, &to);
    for (long i = from; i < to; i++) {
        if (r->x) added_row(r, i);
        if (!r->gamma) continue;
        /* What was stored is normalized: it is what the backward pass will find. */
        const elem *sum = (r->x ? r->sum : r->residual) + i * h;
        for (long j = 0; j < h; j += W) store32(s + j, load(sum + j));
        norm_statistics(s, h, r->eps, r->mean + i, r->rstd + i);
        for (long j = 0; j < h; j += W) {
            vf y = (load32(s + j) - r->mean[i]) * r->rstd[i] * load32(r->gamma + j);
            if (r->beta) y += load32(r->beta + j);
            store(r->out + i * h + j, y);
        }
    }
}
/* x: null for the norm of the residual; bias, beta: null for none; gamma: null for the sum alone. */
void add_norm_forward(const elem *x, const float *bias, const elem *residual, const float *gamma, const float *beta,
                      float eps, elem *sum, elem *out, float *mean, float *rstd, long rows, long padded_rows, long h,
                      uint32_t threshold, uint64_t seed, int threads) {
    added_norm r = {.x = x, .residual = residual, .bias = bias, .gamma = gamma, .beta = beta, .eps = eps, .sum = sum,
                    .out = out, .mean = mean, .rstd = rstd, .rows = rows, .h = h, .drop = make_dropout(threshold, seed)};
    in_parallel(add_norm_forward_body, &r, threads);
    if (x) zero_tail(sum, rows, padded_rows, h);
    if (gamma) zero_tail(out, rows, padded_rows, h);
}
static void add_norm_backward_body(void *data) {
    const added_norm copy = *(const added_norm *)data, *r = &copy;
    float s[MAX_HIDDEN], g[MAX_HIDDEN];
    long from, to, h = r->h;
    float *dgamma = r->parts + omp_get_thread_num() * 3 * h, *dbeta = dgamma + h, *dbias = dbeta + h;
    memset(dgamma, 0, (size_t)(3 * h) * sizeof(float));
    share(r->rows, &from, &to);
    for (long i = from; i < to; i++) {
        if (r->gamma) {
            for (long j = 0; j < h; j += W) {
                store32(s + j, load(r->residual + i * h + j));
                store32(g + j, load(r->g_out + i * h + j));
            }
            norm_backward_row(g, s, r->gamma, r->mean[i], r->rstd[i], h, dgamma, dbeta);
        } else
            for (long j = 0; j < h; j += W) {
                vf other = {0};
                if (r->g_out) other = load(r->g_out + i * h + j);
                store32(g + j, other);
            }
        for (long j = 0; j < h; j += 2 * W) {
            vf keep[2];
            keep_pair(&r->drop, (uint32_t)((i * h + j) / (2 * W)), keep, keep + 1);
            for (int half = 0; half < 2; half++) {
                long at = j + half * W, cell = i * h + at;
                vf ds = load32(g + at) + load(r->g_sum + cell), dx = ds * keep[half];
                if (r->dsum) store(r->dsum + cell, ds);
                if (r->dx) store(r->dx + cell, dx);
                store32(dbias + at, load32(dbias + at) + dx);
            }
        }
    }
}
/* g_sum: the gradient of the sum by its other ways; g_out: that of the norm, and where gamma is null another of the sum, null
 * for none. `sum` is what was normalized. dx and dsum are
 * null where they are not wanted, as are the gradients of parameters. `parts` holds threads x 3 x h numbers. */
void add_norm_backward(const elem *g_sum, const elem *g_out, const elem *sum, const float *gamma, const float *mean,
                       const float *rstd, elem *dx, elem *dsum, float *dgamma, float *dbeta, float *dbias, float *parts,
                       int accumulate, long rows, long padded_rows, long h, uint32_t threshold, uint64_t seed,
                       int threads) {
    added_norm r = {.g_sum = g_sum, .g_out = g_out, .residual = sum, .gamma = gamma, .mean = (float *)mean,
                    .rstd = (float *)rstd, .dx = dx, .dsum = dsum, .parts = parts, .rows = rows, .h = h,
                    .drop = make_dropout(threshold, seed)};
    int team = in_parallel(add_norm_backward_body, &r, threads);
    if (dx) zero_tail(dx, rows, padded_rows, h);
    if (dsum) zero_tail(dsum, rows, padded_rows, h);
    if (dgamma) add_up(dgamma, parts, 3 * h, team, h, accumulate);
    if (dbeta) add_up(dbeta, parts + h, 3 * h, team, h, accumulate);
    if (dbias) add_up(dbias, parts + 2 * h, 3 * h, team, h, accumulate);
}
