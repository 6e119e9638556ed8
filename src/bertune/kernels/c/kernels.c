/* The parts of a transformer layer between its matrix products, each in one pass over memory, and AdamW.
 *
 * Compiled twice on the user's machine (see build.py): with BF16=1 activations are bfloat16, with BF16=0 float32.
 * Weights of norms, biases, embeddings, statistics and all arithmetic are float32 in both.
 *
 * Conventions: matrices are row-major. `rows` are real, rows up to `padded_rows` are written as zeros, so that a matrix
 * product over all of them adds nothing. Every loop over rows is split among threads by position alone and partial sums
 * are added in the order of the threads, so the same number of threads gives the same bits.
 *
 * Each part is a file of its own; they are compiled together.
 */
#include "vectors.h"
#include "threads.h"
#include "dropout.h"
#include "norm.h"
#include "embedding.h"
#include "projection.h"
#include "activation.h"
#include "products.h"
#include "distances.h"
#include "relative_bias.h"
#include "disentangled.h"
#include "attention.h"
#include "relative_attention.h"
#include "first_attention.h"
#include "operands.h"
#include "window_attention.h"
#include "rotary.h"
#include "gated.h"
#include "pre_norm.h"
#include "adamw.h"
#include "transpose.h"
