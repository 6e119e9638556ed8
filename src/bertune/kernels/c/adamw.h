/* AdamW over many parameters at once. */
/* One parameter: gradient in float32, or in bfloat16 where `narrow`; `bf16_copy` is its bfloat16 copy, or null. */
typedef struct {
    float *value;
    const void *gradient;
    float *m, *v;
    uint16_t *bf16_copy;
    const int32_t *slot_of;          /* of an embedding: where each row's gradient is (-1: 0); else null */
    int64_t count, width;            /* rows and their width; a parameter that is no embedding is one row */
    int64_t gradients;               /* numbers in `gradient`: of an embedding, those of the rows touched in this step */
    int32_t narrow;
} parameter;

typedef struct {
    const parameter *of;
    int64_t n;
    double *squares;
    float decay, divisor, beta1, beta2, rate, root, eps;
} adamw;

INLINE vf gradient_at(const parameter *p, const char *g, int64_t j) {
    return p->narrow ? load_bf16((const uint16_t *)g + j) : load32((const float *)g + j);
}
INLINE float gradient_one(const parameter *p, const char *g, int64_t j) {
    if (!p->narrow) return ((const float *)g)[j];
    union { uint32_t bits; float value; } both = {(uint32_t)((const uint16_t *)g)[j] << 16};
    return both.value;
}
static void squares_body(void *data) {
    adamw *a = data;
    double total = 0;
    for (int64_t i = 0; i < a->n; i++) {
        const parameter *p = a->of + i;
        long from, to;
        share(p->gradients, &from, &to);
        long j = from;
        while (j + W <= to) { /* in pieces, so that no float32 sum becomes so large that it swallows what is added */
            long end = to - j > 256 * W ? j + 256 * W : to;
            vf sum = {0};
            for (; j + W <= end; j += W) {
                vf g = gradient_at(p, p->gradient, j);
                sum += g * g;
            }
            total += sum_of(sum);
        }
        for (; j < to; j++) { /* in float32 as well, so that what overflows does so in every place */
            float g = gradient_one(p, p->gradient, j);
            total += g * g;
        }
    }
    a->squares[omp_get_thread_num()] = total;
}
/* The sum of the squares of all gradients. */
double sum_of_squares(const parameter *of, int64_t n, int threads) {
    double squares[MAX_THREADS], total = 0;
    adamw a = {.of = of, .n = n, .squares = squares};
    int team = in_parallel(squares_body, &a, threads);
    for (int t = 0; t < team; t++) total += squares[t];
    return total;
}

/* Weight decay, rounded once wherever the processor can: left to itself gcc takes one rounding on some processors and two on
   others, so that their results would differ in the last bit. */
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define DECAYED(x, decay) __builtin_fmaf(-(decay), (x), (x))
#else
#define DECAYED(x, decay) ((x) - (decay) * (x))
#endif

/* Plain loops, one for each kind of gradient, so that the compiler makes vectors of them, square root included. */
#define UPDATE(GRADIENT)                                                                                              \
    for (long j = from; j < to; j++) {                                                                                \
        float g = (GRADIENT) / divisor, x = DECAYED(value[j], decay);                                                 \
        float first = beta1 * m[j] + (1.0f - beta1) * g, second = beta2 * v[j] + (1.0f - beta2) * g * g;              \
        m[j] = first;                                                                                                 \
        v[j] = second;                                                                                                \
        value[j] = x - rate * first / (__builtin_sqrtf(second) * root + eps);                                         \
    }
static void update(const adamw *a, const parameter *p, float *restrict value, float *restrict m, float *restrict v,
                   const char *g, long from, long to) {
    const float divisor = a->divisor, beta1 = a->beta1, beta2 = a->beta2, rate = a->rate, root = a->root,
                eps = a->eps, decay = a->decay;
    if (!g) {
        UPDATE(0.0f)
    } else if (p->narrow) {
        const uint16_t *restrict narrow = (const uint16_t *)g;
        UPDATE(((union { uint32_t u; float f; }){(uint32_t)narrow[j] << 16}).f)
    } else {
        const float *restrict wide = (const float *)g;
        UPDATE(wide[j])
    }
}
static void copy_narrow(const float *value, uint16_t *bf16_copy, long from, long to) {
    long j = from;
    for (; j + W <= to; j += W) store_bf16(bf16_copy + j, load32(value + j));
    for (; j < to; j++) {
        union { float f; uint32_t u; } b = {value[j]};
        bf16_copy[j] = value[j] != value[j] ? 0x7fc0 : (uint16_t)((b.u + 0x7fff + ((b.u >> 16) & 1)) >> 16);
    }
}
static void adamw_body(void *data) {
    adamw *a = data;
    for (int64_t i = 0; i < a->n; i++) {
        const parameter *p = a->of + i;
        long from, to;
        if (!p->slot_of) {
            share(p->width, &from, &to);
            for (long at = from; at < to; at += 4096) { /* in pieces that stay near the processor until they are copied */
                long end = at + 4096 < to ? at + 4096 : to;
                update(a, p, p->value, p->m, p->v, p->gradient, at, end);
                if (p->bf16_copy) copy_narrow(p->value, p->bf16_copy, at, end);
            }
            continue;
        }
        share(p->count, &from, &to);
        long bytes = p->narrow ? 2 : 4;
        for (long r = from; r < to; r++) {
            const char *g = p->slot_of[r] < 0 ? 0 : (const char *)p->gradient + p->slot_of[r] * p->width * bytes;
            update(a, p, p->value + r * p->width, p->m + r * p->width, p->v + r * p->width, g, 0, p->width);
        }
    }
}
/* decay: rate times weight decay. Gradients are divided by `divisor`. `rate` holds the first bias correction, `root`
 * is 1 / sqrt of the second. */
void adamw_step(const parameter *of, int64_t n, float decay, float divisor, float beta1, float beta2, float rate,
                float root, float eps, int threads) {
    adamw a = {of, n, 0, decay, divisor, beta1, beta2, rate, root, eps};
    in_parallel(adamw_body, &a, threads);
}
