/* activation(x + bias) */
enum { GELU = 0, GELU_TANH = 1, RELU = 2 };

/* The normal distribution below -|x|: exp(-x^2/2) / 2 times a polynomial in t = 1 / (1 + 0.39 |x|), which was fitted to
 * erfcx(|x| / sqrt(2)) for |x| to 10; 3e-7 relative. So the small tail is as exact as the large one. */
INLINE vf normal_tail(vf x, vf *density) {
    vf size = choose(x < splat(0.0f), -x, x), t = 1.0f / (1.0f + size * 0.39f);
    vf bell = exp_of(-0.5f * x * x);
    vf y = splat(-0.0751015395f);
    y = y * t + 0.40061301f;
    y = y * t + -0.80047673f;
    y = y * t + 0.617542744f;
    y = y * t + -0.0921630859f;
    y = y * t + 0.339411497f;
    y = y * t + 0.297705293f;
    y = y * t + 0.31252715f;
    y = y * t + -5.84338377e-05f;
    *density = bell * 0.398942280f;
    return 0.5f * bell * y;
}
/* Returns activation(x), and in `*slope` its derivative. */
INLINE vf activate(vf x, int kind, vf *slope) {
    if (kind == RELU) {
        *slope = choose(x > splat(0.0f), splat(1.0f), splat(0.0f));
        return choose(x > splat(0.0f), x, choose(x == x, splat(0.0f), x));
    }
    if (kind == GELU_TANH) {
        vf s = 1.0f / (1.0f + exp_of(-1.59576912f * (x + 0.044715f * x * x * x)));
        *slope = s + x * s * (1.0f - s) * 1.59576912f * (1.0f + 0.134145f * x * x);
        return x * s;
    }
    vf density, tail = normal_tail(x, &density);
    vf below = choose(x < splat(0.0f), tail, 1.0f - tail);
    *slope = below + x * density;
    return x * below;
}
typedef struct {
    const elem *x;
    const float *bias;
    elem *out, *slopes;
    float *parts;
    long rows, n;
    int kind;
} activation;
INLINE void activate_rows(const activation *a, int kind, int keep) {
    long from, to;
    share(a->rows, &from, &to);
    for (long i = from; i < to; i++)
        for (long j = 0; j < a->n; j += W) {
            vf slope, y = activate(load(a->x + i * a->n + j) + load32(a->bias + j), kind, &slope);
            store(a->out + i * a->n + j, y);
            if (keep) store(a->slopes + i * a->n + j, slope);
        }
}
INLINE void activate_kind(const activation *a, int keep) {
    if (a->kind == GELU) activate_rows(a, GELU, keep);
    else if (a->kind == GELU_TANH) activate_rows(a, GELU_TANH, keep);
    else activate_rows(a, RELU, keep);
}
static void activation_forward_body(void *data) {
    const activation copy = *(const activation *)data, *a = &copy;
    if (a->slopes) activate_kind(a, 1);
    else activate_kind(a, 0);
}
/* slopes: the derivatives, for the backward pass; null for none, and it may be x itself. */
void activation_forward(const elem *x, const float *bias, elem *out, elem *slopes, long rows, long padded_rows, long n,
                        int kind, int threads) {
    activation a = {.x = x, .bias = bias, .out = out, .slopes = slopes, .rows = rows, .n = n, .kind = kind};
    in_parallel(activation_forward_body, &a, threads);
    zero_tail(out, rows, padded_rows, n);
}
static void activation_backward_body(void *data) {
    const activation copy = *(const activation *)data, *a = &copy;
    long from, to;
    float *dbias = a->parts + omp_get_thread_num() * a->n;
    memset(dbias, 0, a->n * sizeof(float));
    share(a->rows, &from, &to);
    for (long i = from; i < to; i++)
        for (long j = 0; j < a->n; j += W) {
            elem *g = a->out + i * a->n + j;
            vf dx = load(g) * load(a->slopes + i * a->n + j);
            store(g, dx);
            store32(dbias + j, load32(dbias + j) + dx);
        }
}
/* The gradient in `g` becomes that of x, in place; `parts` holds threads x n numbers. */
void activation_backward(elem *g, const elem *slopes, float *dbias, float *parts, int accumulate, long rows, long n,
                         int threads) {
    activation a = {.out = g, .slopes = (elem *)slopes, .parts = parts, .rows = rows, .n = n};
    int team = in_parallel(activation_backward_body, &a, threads);
    add_up(dbias, parts, n, team, n, accumulate);
}
