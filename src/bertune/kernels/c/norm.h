/* Layer norm of a row that lies in `s`; and norm(residual + dropout(x + bias)). */
#define MAX_HIDDEN 8192

INLINE void norm_statistics(const float *s, long h, float eps, float *mean, float *rstd) {
    vf sum = {0}, square = {0};
    for (long j = 0; j < h; j += W) sum += load32(s + j);
    float m = sum_of(sum) / h;
    for (long j = 0; j < h; j += W) {
        vf d = load32(s + j) - m;
        square += d * d;
    }
    *mean = m;
    *rstd = 1.0f / sqrtf(sum_of(square) / h + eps);
}
/* From the gradient of the norm's output in `g` to that of its input, in place; adds to the gradients of its weights. */
INLINE void norm_backward_row(float *g, const float *s, const float *gamma, float mean, float rstd, long h,
                              float *dgamma, float *dbeta) {
    vf first = {0}, second = {0};
    for (long j = 0; j < h; j += W) {
        vf x = (load32(s + j) - mean) * rstd, dy = load32(g + j);
        store32(dgamma + j, load32(dgamma + j) + dy * x);
        store32(dbeta + j, load32(dbeta + j) + dy);
        dy *= load32(gamma + j);
        first += dy;
        second += dy * x;
    }
    float a = sum_of(first) / h, b = sum_of(second) / h;
    for (long j = 0; j < h; j += W) {
        vf x = (load32(s + j) - mean) * rstd;
        store32(g + j, rstd * (load32(g + j) * load32(gamma + j) - a - x * b));
    }
}

typedef struct {
    const elem *x, *residual, *g1, *g2;
    const float *bias, *gamma, *beta;
    float eps;
    elem *out, *dx, *dresidual;
    float *mean, *rstd, *parts;
    long rows, h;
    dropout drop;
} residual_norm;

INLINE void residual_row(const residual_norm *r, long i, float *s) {
    for (long j = 0; j < r->h; j += 2 * W) {
        vf keep[2];
        keep_pair(&r->drop, (uint32_t)(i * (r->h / (2 * W)) + j / (2 * W)), keep, keep + 1);
        for (int half = 0; half < 2; half++) {
            long at = j + half * W, cell = i * r->h + at;
            store32(s + at, load(r->residual + cell) + (load(r->x + cell) + load32(r->bias + at)) * keep[half]);
        }
    }
}
static void residual_norm_forward_body(void *data) {
    const residual_norm copy = *(const residual_norm *)data, *r = &copy;
    float s[MAX_HIDDEN];
    long from, to;
    share(r->rows, &from, &to);
    for (long i = from; i < to; i++) {
        residual_row(r, i, s);
        norm_statistics(s, r->h, r->eps, r->mean + i, r->rstd + i);
        for (long j = 0; j < r->h; j += W) {
            vf x = (load32(s + j) - r->mean[i]) * r->rstd[i];
            store(r->out + i * r->h + j, x * load32(r->gamma + j) + load32(r->beta + j));
        }
    }
}
void residual_norm_forward(const elem *x, const float *bias, const elem *residual, const float *gamma,
                           const float *beta, float eps, elem *out, float *mean, float *rstd, long rows,
                           long padded_rows, long h, uint32_t threshold, uint64_t seed, int threads) {
    residual_norm r = {.x = x, .residual = residual, .bias = bias, .gamma = gamma, .beta = beta, .eps = eps,
                       .out = out, .mean = mean, .rstd = rstd, .rows = rows, .h = h,
                       .drop = make_dropout(threshold, seed)};
    in_parallel(residual_norm_forward_body, &r, threads);
    zero_tail(out, rows, padded_rows, h);
}
static void residual_norm_backward_body(void *data) {
    const residual_norm copy = *(const residual_norm *)data, *r = &copy;
    float s[MAX_HIDDEN], g[MAX_HIDDEN];
    long from, to, h = r->h;
    float *dgamma = r->parts + omp_get_thread_num() * 3 * h, *dbeta = dgamma + h, *dbias = dbeta + h;
    memset(dgamma, 0, 3 * h * sizeof(float));
    share(r->rows, &from, &to);
    for (long i = from; i < to; i++) {
        residual_row(r, i, s);
        for (long j = 0; j < h; j += W) {
            vf dy = load(r->g1 + i * h + j);
            if (r->g2) dy += load(r->g2 + i * h + j);
            store32(g + j, dy);
        }
        norm_backward_row(g, s, r->gamma, r->mean[i], r->rstd[i], h, dgamma, dbeta);
        for (long j = 0; j < h; j += 2 * W) {
            vf keep[2];
            keep_pair(&r->drop, (uint32_t)(i * (h / (2 * W)) + j / (2 * W)), keep, keep + 1);
            for (int half = 0; half < 2; half++) {
                long at = j + half * W;
                vf ds = load32(g + at), dx = ds * keep[half];
                store(r->dresidual + i * h + at, ds);
                store(r->dx + i * h + at, dx);
                store32(dbias + at, load32(dbias + at) + dx);
            }
        }
    }
}
/* `parts` holds threads x 3 x h numbers. */
void residual_norm_backward(const elem *g1, const elem *g2, const elem *x, const float *bias, const elem *residual,
                            const float *gamma, const float *mean, const float *rstd, elem *dx, elem *dresidual,
                            float *dgamma, float *dbeta, float *dbias, float *parts, int accumulate, long rows,
                            long padded_rows, long h, uint32_t threshold, uint64_t seed, int threads) {
    residual_norm r = {.x = x, .residual = residual, .g1 = g1, .g2 = g2, .bias = bias, .gamma = gamma, .dx = dx,
                       .dresidual = dresidual, .mean = (float *)mean, .rstd = (float *)rstd, .parts = parts,
                       .rows = rows, .h = h, .drop = make_dropout(threshold, seed)};
    int team = in_parallel(residual_norm_backward_body, &r, threads);
    zero_tail(dx, rows, padded_rows, h);
    add_up(dgamma, parts, 3 * h, team, h, accumulate);
    add_up(dbeta, parts + h, 3 * h, team, h, accumulate);
    add_up(dbias, parts + 2 * h, 3 * h, team, h, accumulate);
}
