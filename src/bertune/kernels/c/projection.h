/* The gradient of hidden states that a dense layer makes of narrower embeddings. */
typedef struct {
    const elem *g1, *g2;
    float *sums, *parts;
    long rows, h;
} widening;

static void widen_sums_body(void *data) {
    const widening copy = *(const widening *)data, *w = &copy;
    long from, to, h = w->h;
    float *dbias = w->parts + omp_get_thread_num() * h;
    memset(dbias, 0, h * sizeof(float));
    share(w->rows, &from, &to);
    for (long i = from; i < to; i++)
        for (long j = 0; j < h; j += W) {
            vf g = load(w->g1 + i * h + j);
            if (w->g2) g += load(w->g2 + i * h + j);
            store32(w->sums + i * h + j, g);
            store32(dbias + j, load32(dbias + j) + g);
        }
}
/* Adds two gradients, of which the second may be null, into float32; `parts` holds threads x h numbers. */
void widen_sums(const elem *g1, const elem *g2, float *sums, float *dbias, float *parts, int accumulate, long rows,
                long padded_rows, long h, int threads) {
    widening w = {g1, g2, sums, parts, rows, h};
    int team = in_parallel(widen_sums_body, &w, threads);
    memset(sums + rows * h, 0, (size_t)(padded_rows - rows) * h * sizeof(float));
    add_up(dbias, parts, h, team, h, accumulate);
}
