/* The parts of a transformer layer between its matrix products, each in one pass over memory, and AdamW.
 *
 * Compiled twice on the user's machine (see build.py): with BF16=1 activations are bfloat16, with BF16=0 float32.
 * Weights of norms, biases, embeddings, statistics and all arithmetic are float32 in both.
 *
 * Conventions: matrices are row-major. `rows` are real, rows up to `padded_rows` are written as zeros, so that a matrix
 * product over all of them adds nothing. Every loop over rows is split among threads by position alone and partial sums
 * are added in the order of the threads, so the same number of threads gives the same bits.
 *
 * Threads come from the OpenMP runtime that torch has already loaded, by its two oldest entry points: a second runtime
 * would have threads of its own, and each would wait, spinning, on the cores the other one needs.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

extern void GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags);
extern int omp_get_thread_num(void);
extern int omp_get_num_threads(void);

#if defined(__AVX512F__)
#define W 16
#else
#define W 8
#endif
#define INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(4 * W), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(4 * W), aligned(4), may_alias));
typedef uint32_t vu __attribute__((vector_size(4 * W), aligned(4), may_alias));
typedef uint16_t vh __attribute__((vector_size(2 * W), aligned(2), may_alias));

INLINE vf splat(float x) { return x - (vf){0}; }
INLINE vf load32(const float *p) { return *(const vf *)p; }
INLINE void store32(float *p, vf x) { *(vf *)p = x; }
INLINE vf choose(vi mask, vf a, vf b) { return (vf)(((vi)a & mask) | ((vi)b & ~mask)); }
INLINE float sum_of(vf x) {
    float total = 0;
    for (int i = 0; i < W; i++) total += x[i];
    return total;
}
INLINE float max_of(vf x) {
    float most = x[0];
    for (int i = 1; i < W; i++) most = x[i] > most ? x[i] : most;
    return most;
}

#if defined(__AVX512BF16__) && W == 16
#include <immintrin.h>
INLINE vf load_bf16(const uint16_t *p) {
    return (vf)((vu)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)) << 16);
}
INLINE void store_bf16(uint16_t *p, vf x) { /* one instruction; it takes numbers below 1e-38 for 0 */
    _mm256_storeu_si256((__m256i *)p, (__m256i)_mm512_cvtneps_pbh((__m512)x));
}
#else
INLINE vf load_bf16(const uint16_t *p) { return (vf)(__builtin_convertvector(*(const vh *)p, vu) << 16); }
INLINE void store_bf16(uint16_t *p, vf x) { /* to nearest, ties to even; not-a-number stays so */
    vu bits = (vu)x;
    vu rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    vi nan = x != x;
    *(vh *)p = __builtin_convertvector((rounded & (vu)~nan) | (0x7fc0 & (vu)nan), vh);
}
#endif

#if BF16
typedef uint16_t elem;
INLINE vf load(const elem *p) { return load_bf16(p); }
INLINE void store(elem *p, vf x) { store_bf16(p, x); }
INLINE float load_one(const elem *p) {
    union { uint32_t bits; float value; } both = {(uint32_t)*p << 16};
    return both.value;
}
#else
typedef float elem;
INLINE vf load(const elem *p) { return load32(p); }
INLINE void store(elem *p, vf x) { store32(p, x); }
INLINE float load_one(const elem *p) { return *p; }
#endif

/* exp to 2 units in the last place; below -87 it is the smallest normal number, above 88 the largest. */
INLINE vf exp_of(vf x) {
    x = choose(x < splat(-87.0f), splat(-87.0f), x);
    x = choose(x > splat(88.0f), splat(88.0f), x);
    vf n = (x * 1.44269504f + 12582912.0f) - 12582912.0f;
    vf r = x - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    vf y = splat(1.0f / 5040);
    y = y * r + 1.0f / 720;
    y = y * r + 1.0f / 120;
    y = y * r + 1.0f / 24;
    y = y * r + 1.0f / 6;
    y = y * r + 0.5f;
    y = y * r + 1.0f;
    y = y * r + 1.0f;
    return y * (vf)((__builtin_convertvector(n, vi) + 127) << 23);
}

/* ---- random bits: a hash of position and key, so that the backward pass draws them again instead of keeping them --- */

typedef struct { uint32_t first, second; } key;

INLINE vu lanes(void) {
    vu v;
    for (int i = 0; i < W; i++) v[i] = (uint32_t)i;
    return v;
}
INLINE vu hash_of(uint32_t block, key k) { /* two rounds of an integer finalizer, keyed before each */
    vu x = (lanes() + block * W) ^ k.first;
    x ^= x >> 16; x *= 0x7feb352dU; x ^= x >> 15; x *= 0x846ca68bU; x ^= x >> 16;
    x += k.second;
    x ^= x >> 16; x *= 0x21f0aaadU; x ^= x >> 15; x *= 0xd35a2d97U; x ^= x >> 15;
    return x;
}
/* Scales of W elements: 0 where dropped, `scale` where kept. half is 0 or 1: which 16 bits of each lane decide. */
INLINE vf kept(vu bits, int half, uint32_t threshold, float scale) {
    vu draw = bits & 0xffff;
    if (half) draw = bits >> 16;
    return choose((vi)draw >= (vi)(threshold - (vu){0}), splat(scale), splat(0.0f));
}
typedef struct { uint32_t threshold; float scale; key k; } dropout;
INLINE void keep_pair(const dropout *d, uint32_t block, vf *first, vf *second) {
    if (d->threshold) {
        vu bits = hash_of(block, d->k);
        *first = kept(bits, 0, d->threshold, d->scale);
        *second = kept(bits, 1, d->threshold, d->scale);
    } else {
        *first = *second = splat(1.0f);
    }
}
INLINE dropout make_dropout(uint32_t threshold, uint64_t seed) {
    return (dropout){threshold, 65536.0f / (65536.0f - threshold), {(uint32_t)seed, (uint32_t)(seed >> 32)}};
}

/* ---- threads ---------------------------------------------------------------------------------------------------- */

INLINE void share(long n, long *from, long *to) {
    long t = omp_get_thread_num(), of = omp_get_num_threads();
    *from = n * t / of;
    *to = n * (t + 1) / of;
}
static void add_up(float *into, const float *parts, long stride, int threads, long n, int accumulate) {
    for (long j = 0; j < n; j++) {
        float total = accumulate ? into[j] : 0;
        for (int t = 0; t < threads; t++) total += parts[t * stride + j];
        into[j] = total;
    }
}
static void zero_tail(elem *x, long rows, long padded_rows, long width) {
    if (padded_rows > rows) memset(x + rows * width, 0, (size_t)(padded_rows - rows) * width * sizeof(elem));
}

#define MAX_HIDDEN 8192

/* ---- layer norm of a row that lies in `s` ------------------------------------------------------------------------- */

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

/* ---- embeddings: three tables, norm, dropout -------------------------------------------------------------------- */

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
    GOMP_parallel(embed_forward_body, &e, (unsigned)threads, 0);
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
    GOMP_parallel(scatter_body, &x, (unsigned)threads, 0);
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
    GOMP_parallel(embed_backward_body, &e, (unsigned)threads, 0);
    add_up(dgamma, parts, 2 * h, threads, h, accumulate);
    add_up(dbeta, parts + h, 2 * h, threads, h, accumulate);
}

/* ---- norm(residual + dropout(x + bias)) --------------------------------------------------------------------------- */

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
    GOMP_parallel(residual_norm_forward_body, &r, (unsigned)threads, 0);
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
    GOMP_parallel(residual_norm_backward_body, &r, (unsigned)threads, 0);
    zero_tail(dx, rows, padded_rows, h);
    add_up(dgamma, parts, 3 * h, threads, h, accumulate);
    add_up(dbeta, parts + h, 3 * h, threads, h, accumulate);
    add_up(dbias, parts + 2 * h, 3 * h, threads, h, accumulate);
}

/* ---- activation(x + bias) ---------------------------------------------------------------------------------------- */

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
    GOMP_parallel(activation_forward_body, &a, (unsigned)threads, 0);
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
    GOMP_parallel(activation_backward_body, &a, (unsigned)threads, 0);
    add_up(dbias, parts, n, threads, n, accumulate);
}

/* ---- small float32 matrix products, for attention ----------------------------------------------------------------- */

/* C (m x n) = A B, where A(i, k) lies at a[i * ai + k * ak], B is row-major with `ldb` and n is a multiple of W. */
INLINE void tile(const int M, const int N, const float *a, long ai, long ak, const float *b, long ldb, float *c,
                 long ldc, long depth) {
    vf sum[8][4];
#pragma GCC unroll 8
    for (int i = 0; i < M; i++)
#pragma GCC unroll 4
        for (int j = 0; j < N; j++) sum[i][j] = (vf){0};
    for (long k = 0; k < depth; k++) {
        vf row[4];
#pragma GCC unroll 4
        for (int j = 0; j < N; j++) row[j] = load32(b + k * ldb + j * W);
#pragma GCC unroll 8
        for (int i = 0; i < M; i++) {
            float x = a[i * ai + k * ak];
#pragma GCC unroll 4
            for (int j = 0; j < N; j++) sum[i][j] += x * row[j];
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < M; i++)
#pragma GCC unroll 4
        for (int j = 0; j < N; j++) store32(c + i * ldc + j * W, sum[i][j]);
}
INLINE void stripe(const int M, const int N, const float *a, long ai, long ak, const float *b, long ldb, float *c,
                   long ldc, long m, long depth) {
    long i = 0;
    for (; i + M <= m; i += M) tile(M, N, a + i * ai, ai, ak, b, ldb, c + i * ldc, ldc, depth);
    for (; i < m; i++) tile(1, N, a + i * ai, ai, ak, b, ldb, c + i * ldc, ldc, depth);
}
static void product(const float *a, long ai, long ak, const float *b, long ldb, float *c, long ldc, long m, long n,
                    long depth) {
    long j = 0;
    for (; j + 4 * W <= n; j += 4 * W) stripe(4, 4, a, ai, ak, b + j, ldb, c + j, ldc, m, depth);
    switch ((n - j) / W) {
    case 3: stripe(4, 3, a, ai, ak, b + j, ldb, c + j, ldc, m, depth); break;
    case 2: stripe(8, 2, a, ai, ak, b + j, ldb, c + j, ldc, m, depth); break;
    case 1: stripe(8, 1, a, ai, ak, b + j, ldb, c + j, ldc, m, depth); break;
    }
}

/* ---- attention ---------------------------------------------------------------------------------------------------- */

typedef struct {
    const elem *q, *k, *v, *dout;
    long q_stride, kv_stride;
    const float *bq, *bk, *bv;
    elem *out, *dq, *dk, *dv;
    float *lse, *scratch, *parts;
    const int32_t *cu;
    long sequences, heads, d, max_length, queries_each, lse_stride;
    dropout drop;
} attention;

INLINE long up(long n, long to) { return (n + to - 1) / to * to; }

/* numbers of scratch that a thread needs */
long attention_scratch(long max_length, long queries_each, long d) {
    long wide = up(max_length, 2 * W), queries = queries_each ? queries_each : max_length;
    return (4 * queries + 6 * wide) * d + 2 * queries * wide + 16 * W;
}

INLINE void read_rows(const elem *from, long stride, const float *bias, float scale, float *to, long rows, long d) {
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < d; j += W) store32(to + i * d + j, (load(from + i * stride + j) + load32(bias + j)) * scale);
}
INLINE void transpose(const float *from, float *to, long rows, long d, long width) {
    for (long c = 0; c < d; c++) {
        for (long i = 0; i < rows; i++) to[c * width + i] = from[i * d + c];
        for (long i = rows; i < width; i++) to[c * width + i] = 0;
    }
}
INLINE void write_rows(elem *to, long stride, const float *from, float scale, long rows, long d, float *sums) {
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < d; j += W) {
            vf x = load32(from + i * d + j) * scale;
            store(to + i * stride + j, x);
            if (sums) store32(sums + j, load32(sums + j) + x);
        }
}
/* Which of the tasks (sequence x head) this thread does: equal shares of the cells of all attention matrices. */
INLINE void share_tasks(const attention *a, long *from, long *to) {
    double total = 0, done = 0;
    long t = omp_get_thread_num(), of = omp_get_num_threads(), tasks = a->sequences * a->heads;
    for (long b = 0; b < a->sequences; b++) {
        double s = a->cu[b + 1] - a->cu[b];
        total += (s * (a->queries_each ? a->queries_each : s) + 8 * s) * a->heads;
    }
    *from = t == 0 ? 0 : -1;
    *to = tasks;
    for (long b = 0; b < a->sequences; b++) {
        double s = a->cu[b + 1] - a->cu[b], cost = s * (a->queries_each ? a->queries_each : s) + 8 * s;
        for (long h = 0; h < a->heads; h++) {
            long task = b * a->heads + h;
            if (*from < 0 && done >= total * t / of) *from = task;
            if (t + 1 < of && done >= total * (t + 1) / of) { *to = task; if (*from < 0) *from = task; return; }
            done += cost;
        }
    }
    if (*from < 0) *from = tasks;
}
/* Places of one task: first row of its keys, its length, first row and number of its queries. */
INLINE void place(const attention *a, long b, long *row, long *s, long *q_row, long *queries) {
    *row = a->cu[b];
    *s = a->cu[b + 1] - *row;
    *q_row = a->queries_each ? b * a->queries_each : *row;
    *queries = a->queries_each ? a->queries_each : *s;
}
INLINE uint32_t cells_before(const attention *a, long b, long head) { /* a block number that no two rows share */
    long wide = up(a->max_length, 2 * W) / (2 * W), most = a->queries_each ? a->queries_each : a->max_length;
    return (uint32_t)((b * a->heads + head) * most * wide);
}

static void attention_forward_body(void *data) {
    const attention copy = *(const attention *)data, *a = &copy;
    long d = a->d, from, to;
    float *q = a->scratch + omp_get_thread_num() * attention_scratch(a->max_length, a->queries_each, d);
    const float scale = 1.0f / sqrtf((float)d);
    share_tasks(a, &from, &to);
    for (long task = from; task < to; task++) {
        long b = task / a->heads, head = task % a->heads, row, s, q_row, n;
        place(a, b, &row, &s, &q_row, &n);
        long width = up(s, 2 * W), blocks = up(a->max_length, 2 * W) / (2 * W);
        float *k = q + n * d, *kt = k + width * d, *v = kt + width * d, *p = v + width * d, *o = p + n * width;
        read_rows(a->q + q_row * a->q_stride + head * d, a->q_stride, a->bq + head * d, scale, q, n, d);
        read_rows(a->k + row * a->kv_stride + head * d, a->kv_stride, a->bk + head * d, 1.0f, k, s, d);
        read_rows(a->v + row * a->kv_stride + head * d, a->kv_stride, a->bv + head * d, 1.0f, v, s, d);
        transpose(k, kt, s, d, width);
        product(q, d, 1, kt, width, p, width, n, width, d);
        uint32_t block = cells_before(a, b, head);
        for (long i = 0; i < n; i++) {
            float *x = p + i * width;
            for (long j = s; j < width; j++) x[j] = -INFINITY;
            vf most = load32(x), sum = {0};
            for (long j = W; j < width; j += W) most = choose(load32(x + j) > most, load32(x + j), most);
            float top = max_of(most);
            for (long j = 0; j < width; j += W) {
                vf e = exp_of(load32(x + j) - top);
                store32(x + j, e);
            }
            for (long j = s; j < width; j++) x[j] = 0;
            for (long j = 0; j < width; j += W) sum += load32(x + j);
            float total = sum_of(sum);
            a->lse[head * a->lse_stride + q_row + i] = top + logf(total);
            for (long j = 0; j < width; j += 2 * W) {
                vf keep[2];
                keep_pair(&a->drop, block + (uint32_t)(i * blocks + j / (2 * W)), keep, keep + 1);
                store32(x + j, load32(x + j) * (1.0f / total) * keep[0]);
                store32(x + j + W, load32(x + j + W) * (1.0f / total) * keep[1]);
            }
        }
        product(p, width, 1, v, d, o, d, n, d, s);
        write_rows(a->out + q_row * a->heads * d + head * d, a->heads * d, o, 1.0f, n, d, 0);
    }
}
/* q: (queries, q_stride) and k, v: (tokens, kv_stride), each with its heads side by side from the given address on.
 * queries_each: queries of a sequence, its first tokens, given without the other rows; 0 is every token.
 * out: (queries, heads * d); lse: (heads, lse_stride), the logarithm of each softmax's sum. */
void attention_forward(const elem *q, long q_stride, const elem *k, const elem *v, long kv_stride, const float *bq,
                       const float *bk, const float *bv, elem *out, float *lse, long lse_stride, const int32_t *cu,
                       long sequences, long heads, long d, long max_length, long queries_each, long padded_rows,
                       float *scratch, uint32_t threshold, uint64_t seed, int threads) {
    attention a = {.q = q, .k = k, .v = v, .q_stride = q_stride, .kv_stride = kv_stride, .bq = bq, .bk = bk, .bv = bv,
                   .out = out, .lse = lse, .lse_stride = lse_stride, .scratch = scratch, .cu = cu,
                   .sequences = sequences, .heads = heads, .d = d, .max_length = max_length,
                   .queries_each = queries_each, .drop = make_dropout(threshold, seed)};
    GOMP_parallel(attention_forward_body, &a, (unsigned)threads, 0);
    long rows = queries_each ? sequences * queries_each : cu[sequences];
    zero_tail(out, rows, padded_rows, heads * d);
}

static void attention_backward_body(void *data) {
    const attention copy = *(const attention *)data, *a = &copy;
    long d = a->d, h = a->heads * d, from, to;
    long size = attention_scratch(a->max_length, a->queries_each, d);
    float *q = a->scratch + omp_get_thread_num() * size, *sums = a->parts + omp_get_thread_num() * 3 * h;
    const float scale = 1.0f / sqrtf((float)d);
    memset(sums, 0, 3 * h * sizeof(float));
    static const float none[MAX_HIDDEN];
    share_tasks(a, &from, &to);
    for (long task = from; task < to; task++) {
        long b = task / a->heads, head = task % a->heads, row, s, q_row, n;
        place(a, b, &row, &s, &q_row, &n);
        long width = up(s, 2 * W), blocks = up(a->max_length, 2 * W) / (2 * W);
        float *dout = q + n * d, *dq = dout + n * d, *k = dq + n * d, *kt = k + width * d, *v = kt + width * d,
              *vt = v + width * d, *dk = vt + width * d, *dv = dk + width * d, *p = dv + width * d, *dp = p + n * width;
        read_rows(a->q + q_row * a->q_stride + head * d, a->q_stride, a->bq + head * d, scale, q, n, d);
        read_rows(a->dout + q_row * h + head * d, h, none, 1.0f, dout, n, d);
        read_rows(a->k + row * a->kv_stride + head * d, a->kv_stride, a->bk + head * d, 1.0f, k, s, d);
        read_rows(a->v + row * a->kv_stride + head * d, a->kv_stride, a->bv + head * d, 1.0f, v, s, d);
        transpose(k, kt, s, d, width);
        transpose(v, vt, s, d, width);
        product(q, d, 1, kt, width, p, width, n, width, d);
        product(dout, d, 1, vt, width, dp, width, n, width, d);
        uint32_t block = cells_before(a, b, head);
        for (long i = 0; i < n; i++) {
            float *x = p + i * width, *dx = dp + i * width, lse = a->lse[head * a->lse_stride + q_row + i];
            vf dot = {0};
            for (long j = 0; j < width; j += 2 * W) {
                vf keep[2];
                keep_pair(&a->drop, block + (uint32_t)(i * blocks + j / (2 * W)), keep, keep + 1);
                for (int half = 0; half < 2; half++) {
                    long at = j + half * W;
                    vf e = exp_of(load32(x + at) - lse), g = load32(dx + at) * keep[half];
                    dot += e * g;
                    store32(dx + at, e); /* the probability before dropout, needed once more below */
                    store32(x + at, g);
                }
            }
            /* Columns behind the sequence have a gradient of 0, because v there is 0: they add nothing to `dot`. */
            float delta = sum_of(dot);
            for (long j = 0; j < width; j += 2 * W) {
                vf keep[2];
                keep_pair(&a->drop, block + (uint32_t)(i * blocks + j / (2 * W)), keep, keep + 1);
                for (int half = 0; half < 2; half++) {
                    long at = j + half * W;
                    vf e = load32(dx + at), g = load32(x + at);
                    store32(dx + at, e * (g - delta));
                    store32(x + at, e * keep[half]);
                }
            }
        }
        product(p, 1, width, dout, d, dv, d, s, d, n);
        product(dp, width, 1, k, d, dq, d, n, d, s);
        product(dp, 1, width, q, d, dk, d, s, d, n);
        write_rows(a->dq + q_row * a->q_stride + head * d, a->q_stride, dq, scale, n, d, sums + head * d);
        write_rows(a->dk + row * a->kv_stride + head * d, a->kv_stride, dk, 1.0f, s, d, sums + h + head * d);
        write_rows(a->dv + row * a->kv_stride + head * d, a->kv_stride, dv, 1.0f, s, d, sums + 2 * h + head * d);
    }
}
/* Strides of the gradients are those of q and of k and v; dbias (3 x heads * d): of the queries, keys, values.
 * The caller zeroes rows behind the last token. `parts` holds threads x 3 x heads * d numbers. */
void attention_backward(const elem *q, long q_stride, const elem *k, const elem *v, long kv_stride, const float *bq,
                        const float *bk, const float *bv, const elem *dout, const float *lse, long lse_stride,
                        elem *dq, elem *dk, elem *dv, float *dbias, const int32_t *cu, long sequences, long heads,
                        long d, long max_length, long queries_each, float *scratch, float *parts, int accumulate,
                        uint32_t threshold, uint64_t seed, int threads) {
    attention a = {.q = q, .k = k, .v = v, .q_stride = q_stride, .kv_stride = kv_stride, .bq = bq, .bk = bk, .bv = bv,
                   .dout = dout, .lse = (float *)lse, .lse_stride = lse_stride, .dq = dq, .dk = dk, .dv = dv,
                   .scratch = scratch, .parts = parts, .cu = cu, .sequences = sequences, .heads = heads, .d = d,
                   .max_length = max_length, .queries_each = queries_each, .drop = make_dropout(threshold, seed)};
    GOMP_parallel(attention_backward_body, &a, (unsigned)threads, 0);
    add_up(dbias, parts, 3 * heads * d, threads, 3 * heads * d, accumulate);
}

/* ---- AdamW --------------------------------------------------------------------------------------------------------- */

/* One parameter: gradient in float32, or in bfloat16 where `narrow`; `shadow` is its bfloat16 copy, or null. */
typedef struct {
    float *value;
    const void *gradient;
    float *m, *v;
    uint16_t *shadow;
    const int32_t *row_of, *slot_of; /* of an embedding: its rows that train, and where each one's gradient is (-1: 0) */
    int64_t count, width;            /* rows and their width; a parameter that is no embedding is one row */
    int32_t narrow;
    float decay;
} parameter;

typedef struct {
    const parameter *of;
    int64_t n;
    double *squares;
    float divisor, beta1, beta2, rate, root, eps;
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
        /* of an embedding the gradients lie one after another, `slot_of` is null here and `count` is their number */
        share(p->count * p->width, &from, &to);
        vf sum = {0};
        long j = from;
        for (; j + W <= to; j += W) {
            vf g = gradient_at(p, p->gradient, j);
            sum += g * g;
        }
        for (; j < to; j++) total += (double)gradient_one(p, p->gradient, j) * gradient_one(p, p->gradient, j);
        total += sum_of(sum);
    }
    a->squares[omp_get_thread_num()] = total;
}
/* The sum of the squares of all gradients. */
double sum_of_squares(const parameter *of, int64_t n, int threads) {
    double squares[256] = {0}, total = 0;
    adamw a = {.of = of, .n = n, .squares = squares};
    GOMP_parallel(squares_body, &a, (unsigned)threads, 0);
    for (int t = 0; t < threads; t++) total += squares[t];
    return total;
}

/* Plain loops, one for each kind of gradient, so that the compiler makes vectors of them, square root included. */
#define UPDATE(GRADIENT)                                                                                              \
    for (long j = from; j < to; j++) {                                                                                \
        float g = (GRADIENT) / divisor, x = value[j] - decay * value[j];                                              \
        float first = beta1 * m[j] + (1.0f - beta1) * g, second = beta2 * v[j] + (1.0f - beta2) * g * g;              \
        m[j] = first;                                                                                                 \
        v[j] = second;                                                                                                \
        value[j] = x - rate * first / (__builtin_sqrtf(second) * root + eps);                                         \
    }
static void update(const adamw *a, const parameter *p, float *restrict value, float *restrict m, float *restrict v,
                   const char *g, long from, long to) {
    const float divisor = a->divisor, beta1 = a->beta1, beta2 = a->beta2, rate = a->rate, root = a->root,
                eps = a->eps, decay = p->decay;
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
static void copy_narrow(const float *value, uint16_t *shadow, long from, long to) {
    long j = from;
    for (; j + W <= to; j += W) store_bf16(shadow + j, load32(value + j));
    for (; j < to; j++) {
        union { float f; uint32_t u; } b = {value[j]};
        shadow[j] = value[j] != value[j] ? 0x7fc0 : (uint16_t)((b.u + 0x7fff + ((b.u >> 16) & 1)) >> 16);
    }
}
static void adamw_body(void *data) {
    adamw *a = data;
    for (int64_t i = 0; i < a->n; i++) {
        const parameter *p = a->of + i;
        long from, to;
        if (!p->row_of) {
            share(p->width, &from, &to);
            for (long at = from; at < to; at += 4096) { /* in pieces that stay near the processor until they are copied */
                long end = at + 4096 < to ? at + 4096 : to;
                update(a, p, p->value, p->m, p->v, p->gradient, at, end);
                if (p->shadow) copy_narrow(p->value, p->shadow, at, end);
            }
            continue;
        }
        share(p->count, &from, &to);
        long bytes = p->narrow ? 2 : 4;
        for (long r = from; r < to; r++) {
            const char *g = p->slot_of[r] < 0 ? 0 : (const char *)p->gradient + p->slot_of[r] * p->width * bytes;
            update(a, p, p->value + p->row_of[r] * p->width, p->m + r * p->width, p->v + r * p->width, g, 0,
                   p->width);
        }
    }
}
/* decay: rate times weight decay. Gradients are divided by `divisor`. `rate` holds the first bias correction, `root`
 * is 1 / sqrt of the second. */
void adamw_step(const parameter *of, int64_t n, float divisor, float beta1, float beta2, float rate, float root,
                float eps, int threads) {
    adamw a = {of, n, 0, divisor, beta1, beta2, rate, root, eps};
    GOMP_parallel(adamw_body, &a, (unsigned)threads, 0);
}

typedef struct {
    float *table;
    const int32_t *rows;
    long count, width, steps;
    const float *decays;
} fading;
static void fade_body(void *data) {
    fading *f = data;
    long from, to;
    share(f->count, &from, &to);
    for (long r = from; r < to; r++)
        for (long j = 0; j < f->width; j += W) {
            float *at = f->table + f->rows[r] * f->width + j;
            vf x = load32(at);
            for (long k = 0; k < f->steps; k++) x -= f->decays[k] * x;
            store32(at, x);
        }
}
/* What the steps so far would have made of rows without any gradient: weight decay alone, one step after another. */
void fade_rows(float *table, const int32_t *rows, long count, long width, const float *decays, long steps,
               int threads) {
    fading f = {table, rows, count, width, steps, decays};
    GOMP_parallel(fade_body, &f, (unsigned)threads, 0);
}
