/* What the distances between tokens add to the scores of attention: a number a head, or products with vectors.
 *
 * A distance is the place of the token that asks less that of the token that is asked. With L the longest sequence, what
 * lies by falling distances has distance L - 1 - c at place c: row i of the scores meets places from L - 1 - i on, side
 * by side with its columns. By rising distances, place e is distance e - (L - 1), and column j of the scores meets places
 * from L - 1 - j on, side by side with its rows.
 */
typedef struct {
    const float *bias;          /* (3 h): of queries, keys, values */
    elem *out;                  /* (tokens, h), or (sequences, h) of the first tokens */
    float *lse;                 /* (heads, padded) */
    const int32_t *cu;
    const elem *dout;
    elem *dqkv;                 /* (padded + padded_vectors, 3 h), as qkv */
    float *dbias;
    const float *numbers;       /* (heads, places): added to the scores, by falling distances; null for none */
    float *dnumbers;            /* (heads, places): its gradient is added to what is there */
    const int32_t *vector_of;   /* (2 L - 1): by rising distances, the vector of each, never falling; null for none */
    float *kept;                /* (heads, padded, up(L, 2 W)): probabilities before dropout, for the backward pass, which */
                                /* computes scores with distances again without; null for none */
    float *tables;              /* heads x distance_tables */
    float *gradients;           /* (heads + threads) x gradients of a head */
    float *scratch, *parts;
    int64_t sequences, heads, d, padded, max_length;
    int64_t vectors, padded_vectors;  /* rows of qkv behind the padded tokens, for distances */
    int64_t asked, asking;            /* whether queries meet keys of distances, and keys queries of distances */
    int64_t first_only;               /* whether only the first token of each sequence asks */
} relative_attention;

/* The scores of one sequence in one head: `m` tokens ask, `s` are asked, and a row has room for `width`. */
typedef struct { long m, s, width; } scores;
/* Queries, scaled, and keys of one sequence in one head, (m, d) and (s, d), and their gradients. */
typedef struct { const float *q, *k; float *dq, *dk; } contents;

/* rows that are taken together with the distances they meet */
enum { SOME_PLACES = 16 };

/* Places for every distance, and as many behind them as a whole vector reads. */
long distance_places(long max_length) { return up(2 * max_length + W, W); }
/* numbers that a head's keys and queries of distances take, each also turned */
long distance_tables(long max_length, long d) { return 4 * distance_places(max_length) * d; }
/* numbers of scratch that a thread needs beside that of attention */
long distance_room(long max_length) {
    long wide = up(max_length, 2 * W);
    return 2 * wide * wide + SOME_PLACES * (wide + SOME_PLACES + W);
}
/* All three products of a score have the scale of as many. */
INLINE float scale_of(const relative_attention *r) { return 1.0f / sqrtf((float)(r->d * (1 + r->asked + r->asking))); }
/* Returns where the probabilities of a head's rows lie from a token on; null for nowhere. */
INLINE float *kept_rows(const relative_attention *r, long head, long row) {
    return r && r->kept ? r->kept + (head * r->padded + row) * up(r->max_length, 2 * W) : 0;
}
INLINE long gradients_of_head(const relative_attention *r) {
    return distance_places(r->max_length) * (r->vector_of ? 2 * r->d : 1);
}
/* Returns where the thread adds up gradients of a head's distances, zeroed. Who does a head's first sequence has the
 * head's own place; a thread that begins within a head has one of its own, which is added later. */
INLINE float *begin_head(const relative_attention *r, long head, int from_start, int32_t *head_begun) {
    long size = gradients_of_head(r), thread = omp_get_thread_num();
    float *into = r->gradients + (from_start ? head : r->heads + thread) * size;
    if (!from_start) head_begun[thread] = (int32_t)head;
    memset(into, 0, size * sizeof(float));
    return into;
}
