/* Three tables, their sum normalized, dropout. */
typedef struct {
    const int32_t *token, *position, *type;
    const float *token_table, *position_table, *type_table, *gamma, *beta;
    float eps;
    elem *out;
    float *mean, *rstd;
    const elem *g1, *g2;
    float *sums, *parts;
    long rows, h;
    dropout drop;
} embedding;

INLINE void embedding_row(const embedding *e, long i, float *s) {
    const float *a = e->token_table + e->token[i] * e->h, *b = e->position_table + e->position[i] * e->h,
                *c = e->type_table + e->type[i] * e->h;
    for (long j = 0; j < e->h; j += W) store32(s + j, load32(a + j) + load32(b + j) + load32(c + j));
}
static void embed_forward_body(void *data) {
    const embedding copy = *(const embedding *)data, *e = &copy;
    float s[MAX_HIDDEN];
    long from, to, h = e->h;
    share(e->rows, &from, &to);
    for (long i = from; i < to; i++) {
        embedding_row(e, i, s);
        norm_statistics(s, h, e->eps, e->mean + i, e->rstd + i);
        for (long j = 0; j < h; j += 2 * W) {
            vf keep[2];
            keep_pair(&e->drop, (uint32_t)(i * (h / (2 * W)) + j / (2 * W)), keep, keep + 1);
            for (int half = 0; half < 2; half++) {
                long at = j + half * W;
                vf x = (load32(s + at) - e->mean[i]) * e->rstd[i];
                store(e->out + i * h + at, (x * load32(e->gamma + at) + load32(e->beta + at)) * keep[half]);
            }
        }
    }
}
void embed_forward(const int32_t *token, const int32_t *position, const int32_t *type, const float *token_table,
                   const float *position_table, const float *type_table, const float *gamma, const float *beta,
                   float eps, elem *out, float *mean, float *rstd, long rows, long padded_rows, long h,
                   uint32_t threshold, uint64_t seed, int threads) {
    embedding e = {.token = token, .position = position, .type = type, .token_table = token_table,
                   .position_table = position_table, .type_table = type_table, .gamma = gamma, .beta = beta,
                   .eps = eps, .out = out, .mean = mean, .rstd = rstd, .rows = rows, .h = h,
                   .drop = make_dropout(threshold, seed)};
    in_parallel(embed_forward_body, &e, threads);
    zero_tail(out, rows, padded_rows, h);
}

static void embed_backward_body(void *data) {
    const embedding copy = *(const embedding *)data, *e = &copy;
    float s[MAX_HIDDEN];
    long from, to, h = e->h;
    float *dgamma = e->parts + omp_get_thread_num() * 2 * h, *dbeta = dgamma + h;
    memset(dgamma, 0, 2 * h * sizeof(float));
    share(e->rows, &from, &to);
    for (long i = from; i < to; i++) {
        float *g = e->sums + i * h;
        embedding_row(e, i, s);
        for (long j = 0; j < h; j += 2 * W) {
            vf keep[2];
            keep_pair(&e->drop, (uint32_t)(i * (h / (2 * W)) + j / (2 * W)), keep, keep + 1);
            for (int half = 0; half < 2; half++) {
                long at = j + half * W;
                vf dy = load(e->g1 + i * h + at);
                if (e->g2) dy += load(e->g2 + i * h + at);
                store32(g + at, dy * keep[half]);
            }
        }
        norm_backward_row(g, s, e->gamma, e->mean[i], e->rstd[i], h, dgamma, dbeta);
    }
}
typedef struct {
    const int32_t *row_of;
    const float *sums;
    float *into;
    long rows, h;
} scatter;
static void scatter_body(void *data) { /* threads share columns, so no two write the same place */
    scatter *x = data;
    long from, to;
    share(x->h / W, &from, &to);
    for (long i = 0; i < x->rows; i++) {
        float *into = x->into + x->row_of[i] * x->h;
        for (long j = from * W; j < to * W; j += W) store32(into + j, load32(into + j) + load32(x->sums + i * x->h + j));
    }
}
void scatter_rows(const int32_t *row_of, const float *sums, float *into, long rows, long h, int threads) {
    scatter x = {row_of, sums, into, rows, h};
    in_parallel(scatter_body, &x, threads);
}
/* `sums` (rows, h) becomes the gradient of the three tables' sum; `parts` holds threads x 2 x h numbers. */
void embed_backward(const int32_t *token, const int32_t *position, const int32_t *type, const float *token_table,
                    const float *position_table, const float *type_table, const float *gamma, const float *mean,
                    const float *rstd, const elem *g1, const elem *g2, float *sums, float *dgamma, float *dbeta,
                    float *parts, int accumulate, long rows, long h, uint32_t threshold, uint64_t seed, int threads) {
    embedding e = {.token = token, .position = position, .type = type, .token_table = token_table,
                   .position_table = position_table, .type_table = type_table, .gamma = gamma, .mean = (float *)mean,
                   .rstd = (float *)rstd, .g1 = g1, .g2 = g2, .sums = sums, .parts = parts, .rows = rows, .h = h,
                   .drop = make_dropout(threshold, seed)};
    int team = in_parallel(embed_backward_body, &e, threads);
    add_up(dgamma, parts, 2 * h, team, h, accumulate);
    add_up(dbeta, parts + h, 2 * h, team, h, accumulate);
}
/* Gives each token the place of its row's gradient; rows without one get the next, in the order they come. Returns how
 * many places there are then, `used` of which were there before. */
long give_places(const int32_t *token, long tokens, int32_t *place_of_row, int32_t *row_of_place, long used,
                 int32_t *places) {
    for (long i = 0; i < tokens; i++) {
        int32_t row = token[i];
        if (place_of_row[row] < 0) {
            row_of_place[used] = row;
            place_of_row[row] = (int32_t)used++;
        }
        places[i] = place_of_row[row];
    }
    return used;
}
