/* Products of contents with vectors of distances, which are added to the scores: a query with the key of the distance, and
 * a key with the query of the distance.
 *
 * Some rows are multiplied with all distances that any of them meets, which are hardly more than one row's. Each next row
 * begins one place earlier.
 */
/* A head's keys by falling distances, (places, d), and turned; its queries by rising ones, scaled, and turned. */
typedef struct { float *keys, *keys_turned, *queries, *queries_turned; } distance_table;

INLINE distance_table table_of(const relative_attention *r, long head) {
    long size = distance_places(r->max_length) * r->d;
    float *t = r->tables + head * 4 * size;
    return (distance_table){t, t + size, t + 2 * size, t + 3 * size};
}

/* Multiplies `n` rows from the `at`-th on with the distances that they meet; returns how far apart the results' rows are. In
 * row i of them the first distance wanted is at n - 1 - i. `meet` is how many each row meets. */
INLINE long meet_distances(const relative_attention *r, const float *rows, const float *turned, long at, long n, long meet,
                           float *results) {
    long apart = up(meet + n - 1, W);
    product(rows + at * r->d, r->d, 1, turned + r->max_length - at - n, distance_places(r->max_length), results, apart, n,
            apart, r->d);
    return apart;
}
INLINE void add_vectors(const relative_attention *r, long head, const float *q, const float *k, float *p, scores of,
                        float *room) {
    long wide = up(r->max_length, 2 * W), asks = up(of.m, W);
    float *by_key = room, *turned = by_key + wide * wide, *results = turned + wide * wide;
    distance_table t = table_of(r, head);
    for (long i = 0; r->asked && i < of.m; i += SOME_PLACES) {
        long n = least(SOME_PLACES, of.m - i), apart = meet_distances(r, q, t.keys_turned, i, n, of.s, results);
        for (long row = 0; row < n; row++) {
            float *x = p + (i + row) * of.width;
            const float *add = results + row * apart + n - 1 - row;
            for (long j = 0; j < of.s; j += W) store32(x + j, load32(x + j) + load32(add + j));
        }
    }
    if (!r->asking) return;
    for (long j = 0; j < of.s; j += SOME_PLACES) {
        long n = least(SOME_PLACES, of.s - j), apart = meet_distances(r, k, t.queries_turned, j, n, of.m, results);
        for (long row = 0; row < n; row++) {
            const float *from = results + row * apart + n - 1 - row;
            for (long i = 0; i < of.m; i += W) store32(by_key + (j + row) * asks + i, load32(from + i));
        }
    }
    turn_rows(by_key, turned, of.s, asks, of.width);
    for (long i = 0; i < of.m; i++)
        for (long j = 0; j < of.width; j += W) {
            float *x = p + i * of.width + j;
            store32(x, load32(x) + load32(turned + i * of.width + j));
        }
}
/* Of `n` rows from the `at`-th on, (d) each, whose products with distances have the gradients `g`, `meet` numbers in a row:
 * adds to the rows' gradients, and to those of the distances. */
INLINE void meet_gradients(const relative_attention *r, const float *rows, float *drows, const float *table, float *dtable,
                           const float *g, long g_apart, long at, long n, long meet, float *room) {
    long all = meet + n - 1, apart = up(all, W), d = r->d, first = (r->max_length - at - n) * d;
    for (long row = 0; row < n; row++) {
        float *to = room + row * apart;
        memset(to, 0, apart * sizeof(float));
        memcpy(to + n - 1 - row, g + (at + row) * g_apart, meet * sizeof(float));
    }
    add_product(room, apart, 1, table + first, d, drows + at * d, d, n, d, all);
    add_product(room, 1, apart, rows + at * d, d, dtable + first, d, all, d, n);
}
/* `into`: (2, places, d), the gradients of the keys and of the scaled queries of distances. */
INLINE void vector_gradients(const relative_attention *r, long head, contents c, const float *dp, scores of, float *into,
                             float *room) {
    long wide = up(r->max_length, 2 * W), asks = up(of.m, W);
    float *turned = room, *results = room + 2 * wide * wide;
    distance_table t = table_of(r, head);
    for (long i = 0; r->asked && i < of.m; i += SOME_PLACES)
        meet_gradients(r, c.q, c.dq, t.keys, into, dp, of.width, i, least(SOME_PLACES, of.m - i), of.s, results);
    if (!r->asking) return;
    into += distance_places(r->max_length) * r->d;
    turn_rows(dp, turned, of.m, of.width, asks);
    for (long j = 0; j < of.s; j += SOME_PLACES)
        meet_gradients(r, c.k, c.dk, t.queries, into, turned, asks, j, least(SOME_PLACES, of.s - j), of.m, results);
}

typedef struct {
    const relative_attention *of;
    const elem *qkv;
} vectors_task;

static void read_vectors_body(void *data) {
    const vectors_task *task = data;
    const relative_attention *r = task->of;
    long d = r->d, h = r->heads * d, all = 2 * r->max_length - 1, from, to;
    float scale = scale_of(r);
    share(r->heads, &from, &to);
    for (long head = from; head < to; head++) {
        distance_table t = table_of(r, head);
        const float *bias = r->bias + head * d;
        for (long e = 0; e < all; e++) {
            const elem *row = task->qkv + (r->padded + r->vector_of[e]) * 3 * h + head * d;
            float *key = t.keys + (all - 1 - e) * d, *query = t.queries + e * d;
            for (long j = 0; j < d; j += W) {
                store32(query + j, (load(row + j) + load32(bias + j)) * scale);
                store32(key + j, load(row + h + j) + load32(bias + h + j));
            }
        }
        turn_rows(t.keys, t.keys_turned, all, d, distance_places(r->max_length));
        turn_rows(t.queries, t.queries_turned, all, d, distance_places(r->max_length));
    }
}
/* From the gradients by distance to those of the vectors' rows: a vector that several distances share has their sum. */
static void write_vectors_body(void *data) {
    const vectors_task *task = data;
    const relative_attention *r = task->of;
    long d = r->d, h = r->heads * d, all = 2 * r->max_length - 1, places = distance_places(r->max_length), from, to;
    float scale = scale_of(r), sum[2 * MAX_HIDDEN];
    share(r->heads, &from, &to);
    for (long head = from; head < to; head++) {
        const float *keys = r->gradients + head * gradients_of_head(r), *queries = keys + places * d;
        float *dbias = r->dbias + head * d;
        for (long e = 0, vector = 0; vector < r->vectors; vector++) {
            elem *row = r->dqkv + (r->padded + vector) * 3 * h + head * d;
            memset(sum, 0, 2 * d * sizeof(float));
            for (; e < all && r->vector_of[e] == vector; e++)
                for (long j = 0; j < d; j += W) {
                    store32(sum + j, load32(sum + j) + load32(queries + e * d + j) * scale);
                    store32(sum + d + j, load32(sum + d + j) + load32(keys + (all - 1 - e) * d + j));
                }
            for (long j = 0; j < d; j += W) {
                store(row + j, load32(sum + j));
                store(row + h + j, load32(sum + d + j));
                store(row + 2 * h + j, splat(0.0f));
                store32(dbias + j, load32(dbias + j) + load32(sum + j));
                store32(dbias + h + j, load32(dbias + h + j) + load32(sum + d + j));
            }
        }
    }
}

/* Both kinds: what a head adds to its scores, and the gradients of it. */
INLINE void add_distances(const relative_attention *r, long head, const float *q, const float *k, float *p, scores of,
                          float *room) {
    if (r->numbers) add_numbers(r, head, p, of);
    if (r->vector_of) add_vectors(r, head, q, k, p, of, room);
}
INLINE void distance_gradients(const relative_attention *r, long head, contents c, const float *dp, scores of, float *into,
                               float *room) {
    if (r->numbers) number_gradients(r, dp, of, into);
    if (r->vector_of) vector_gradients(r, head, c, dp, of, into, room);
}
