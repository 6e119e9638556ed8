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
INLINE vf activate(vf x, int kind) {
    if (kind == RELU) return choose(x > splat(0.0f), x, choose(x == x, splat(0.0f), x));
    if (kind == GELU_TANH) return x / (1.0f + exp_of(-1.59576912f * (x + 0.044715f * x * x * x)));
    vf density, tail = normal_tail(x, &density);
    return x * choose(x < splat(0.0f), tail, 1.0f - tail);
}
INLINE vf slope(vf x, int kind) {
    if (kind == RELU) return choose(x > splat(0.0f), splat(1.0f), splat(0.0f));
    if (kind == GELU_TANH) {
        vf s = 1.0f / (1.0f + exp_of(-1.59576912f * (x + 0.044715f * x * x * x)));
        return s + x * s * (1.0f - s) * 1.59576912f * (1.0f + 0.134145f * x * x);
    }
    vf density, tail = normal_tail(x, &density);
    return choose(x < splat(0.0f), tail, 1.0f - tail) + x * density;
}
typedef struct {
    const elem *x;
    const float *bias;
    elem *out;
    float *parts;
    long rows, n;
    int kind;
} activation;
INLINE void activate_rows(const activation *a, int kind) {
    long from, to;
    share(a->rows, &from, &to);
    for (long i = from; i < to; i++)
        for (long j = 0; j < a->n; j += W)
            store(a->out + i * a->n + j, activate(load(a->x + i * a->n + j) + load32(a->bias + j), kind));
}
static void activation_forward_body(void *data) {
    const activation copy = *(const activation *)data, *a = &copy;
    if (a->kind == GELU) activate_rows(a, GELU);
    else if (a->kind == GELU_TANH) activate_rows(a, GELU_TANH);
    else activate_rows(a, RELU);
}
void activation_forward(const elem *x, const float *bias, elem *out, long rows, long padded_rows, long n, int kind,
                        int threads) {
    activation a = {.x = x, .bias = bias, .out = out, .rows = rows, .n = n, .kind = kind};
    in_parallel(activation_forward_body, &a, threads);
    zero_tail(out, rows, padded_rows, n);
}
INLINE void slope_rows(const activation *a, int kind) {
    long from, to;
    float *dbias = a->parts + omp_get_thread_num() * a->n;
    memset(dbias, 0, a->n * sizeof(float));
    share(a->rows, &from, &to);
    for (long i = from; i < to; i++)
        for (long j = 0; j < a->n; j += W) {
            elem *g = a->out + i * a->n + j;
            vf dx = load(g) * slope(load(a->x + i * a->n + j) + load32(a->bias + j), kind);
            store(g, dx);
            store32(dbias + j, load32(dbias + j) + dx);
        }
}
static void activation_backward_body(void *data) {
    const activation copy = *(const activation *)data, *a = &copy;
    if (a->kind == GELU) slope_rows(a, GELU);
    else if (a->kind == GELU_TANH) slope_rows(a, GELU_TANH);
    else slope_rows(a, RELU);
}
/* The gradient in `g` becomes that of x, in place; `parts` holds threads x n numbers. */
void activation_backward(elem *g, const elem *x, const float *bias, float *dbias, float *parts, int accumulate,
                         long rows, long n, int kind, int threads) {
    activation a = {.x = x, .bias = bias, .out = g, .parts = parts, .rows = rows, .n = n, .kind = kind};
    int team = in_parallel(activation_backward_body, &a, threads);
    add_up(dbias, parts, n, team, n, accumulate);
}
