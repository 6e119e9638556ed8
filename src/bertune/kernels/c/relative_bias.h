/* A number for each distance and head, which is added to the scores. */
INLINE void add_numbers(const relative_attention *r, long head, float *p, scores of) {
    const float *numbers = r->numbers + head * distance_places(r->max_length) + r->max_length - 1;
    for (long i = 0; i < of.m; i++)
        for (long j = 0; j < of.s; j += W) {
            float *x = p + i * of.width + j;
            store32(x, load32(x) + load32(numbers - i + j));
        }
}
/* Adds the gradients of the scores to those of their numbers in `into`, (places). */
INLINE void number_gradients(const relative_attention *r, const float *dp, scores of, float *into) {
    long full = of.s / W * W;
    vi real = (vi)lanes() < (int32_t)(of.s - full);
    for (long i = 0; i < of.m; i++) {
        const float *x = dp + i * of.width;
        float *to = into + r->max_length - 1 - i;
        for (long j = 0; j < full; j += W) store32(to + j, load32(to + j) + load32(x + j));
        if (full < of.s) store32(to + full, load32(to + full) + choose(real, load32(x + full), splat(0.0f)));
    }
}
