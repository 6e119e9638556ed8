/* How loops are shared among threads.
 *
 * Threads come from the OpenMP runtime that torch has already loaded, by its two oldest entry points: a second runtime
 * would have threads of its own, and each would wait, spinning, on the cores the other one needs.
 */
extern void GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags);
extern int omp_get_thread_num(void);
extern int omp_get_num_threads(void);

#define MAX_THREADS 256

INLINE void share(long n, long *from, long *to) {
    long t = omp_get_thread_num(), of = omp_get_num_threads();
    *from = n * t / of;
    *to = n * (t + 1) / of;
}
typedef struct {
    void (*body)(void *);
    void *data;
    int team;
} crew;
static void crew_body(void *data) {
    crew *c = data;
    if (omp_get_thread_num() == 0) c->team = omp_get_num_threads();
    c->body(c->data);
}
/* Runs `body` in as many threads as it may have, at most `threads` and MAX_THREADS: a limit set from outside, or a
 * parallel region around this one, can make them fewer. Returns how many they were. */
static int in_parallel(void (*body)(void *), void *data, int threads) {
    crew c = {body, data, 1};
    GOMP_parallel(crew_body, &c, threads < MAX_THREADS ? (unsigned)threads : MAX_THREADS, 0);
    return c.team;
}
static void add_up(float *into, const float *parts, long stride, int team, long n, int accumulate) {
    for (long j = 0; j < n; j++) {
        float total = accumulate ? into[j] : 0;
        for (int t = 0; t < team; t++) total += parts[t * stride + j];
        into[j] = total;
    }
}
static void zero_tail(elem *x, long rows, long padded_rows, long width) {
    if (padded_rows > rows) memset(x + rows * width, 0, (size_t)(padded_rows - rows) * width * sizeof(elem));
}
