/* Attention to whose scores distances add. It has numbers or vectors of them, not both. */
static attention attention_of(const relative_attention *r, const elem *qkv, uint32_t threshold, uint64_t seed) {
    long h = r->heads * r->d;
    return (attention){.qkv = qkv, .bias = r->bias, .dout = r->dout, .out = r->out, .dqkv = r->dqkv, .lse = r->lse,
                       .lse_stride = r->padded, .scratch = r->scratch, .parts = r->parts, .cu = r->cu,
                       .sequences = r->sequences, .heads = r->heads, .d = r->d, .stride = 3 * h, .apart = h,
                       .max_length = r->max_length, .scale = scale_of(r), .drop = make_dropout(threshold, seed),
                       .relative = r};
}
/* qkv: (padded + padded_vectors, 3 h), before their bias: of `rows` tokens, and behind the padded ones of the vectors. */
void relative_attention_forward(const elem *qkv, const relative_attention *r, long rows, uint32_t threshold, uint64_t seed,
                                int threads) {
    attention a = attention_of(r, qkv, threshold, seed);
    vectors_task vectors = {r, qkv};
    if (r->vector_of) in_parallel(read_vectors_body, &vectors, threads);
    in_parallel(attention_forward_body, &a, threads);
    if (!r->first_only) zero_tail(r->out, rows, r->padded, r->heads * r->d);
}
void relative_attention_backward(const elem *qkv, const relative_attention *r, long rows, int accumulate,
                                 uint32_t threshold, uint64_t seed, int threads) {
    attention a = attention_of(r, qkv, threshold, seed);
    vectors_task vectors = {r, qkv};
    int32_t head_begun[MAX_THREADS];
    long h = r->heads * r->d, size = gradients_of_head(r);
    for (int t = 0; t < MAX_THREADS; t++) head_begun[t] = -1;
    a.head_begun = head_begun;
    if (r->vector_of) in_parallel(read_vectors_body, &vectors, threads);
    int team = in_parallel(attention_backward_body, &a, threads);
    zero_tail(r->dqkv, rows, r->padded, 3 * h);
    add_up(r->dbias, r->parts, 3 * h, team, 3 * h, accumulate);
    for (int t = 0; t < team; t++) {
        if (head_begun[t] < 0) continue;
        float *into = r->gradients + head_begun[t] * size, *from = r->gradients + (r->heads + t) * size;
        for (long j = 0; j < size; j++) into[j] += from[j];
    }
    if (r->numbers)
        for (long j = 0; j < r->heads * size; j++) r->dnumbers[j] += r->gradients[j];
    if (r->vector_of) {
        in_parallel(write_vectors_body, &vectors, threads);
        zero_tail(r->dqkv + r->padded * 3 * h, r->vectors, r->padded_vectors, 3 * h);
    }
}
