// The contrastive loss of queries against candidates of another kind (images against texts), where every candidate of
// the query's class is a hit and none of them a negative: InfoNCE (van den Oord et al., 2018) with the denominator of
// Feeney and Hughes, "SINCERE: Supervised Information Noise-Contrastive Estimation REvisited", 2023.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// Columns of a query's statistics, from which the gradient of any of its scores follows.
inline constexpr int64_t kContrastColumns = 3;  // N, c, 1 / hits

// scores (rows, n) of the queries with the candidates; classes of queries (rows) and candidates (n) i32, kIgnoreTarget
// for rows that are neither. With N the log-sum-exp of a query's scores with candidates of other classes:
// -> losses (rows): the mean of ln(1 + exp(N - score)) over the candidates of the query's class; 0 without any and for
// ignored queries. correct (rows) i32: whether one of these has a larger score than all other candidates. statistics
// (rows, kContrastColumns): N, c = the mean of sigmoid(N - score) over them, 1 / their number.
void class_contrast_forward(Context& ctx, Tensor losses, Tensor correct, Tensor statistics, ConstTensor scores,
                            ConstTensor query_classes, ConstTensor candidate_classes);
// Overwrites scores (rows, n) with `factor` times the gradient of the sum of the losses of all queries and, in the
// other direction, of all candidates. query_statistics (rows, kContrastColumns) and candidate_statistics (n,
// kContrastColumns), where a loss has a weight, have it as a factor of c and 1 / hits.
void class_contrast_backward(Context& ctx, Tensor scores, ConstTensor query_statistics,
                             ConstTensor candidate_statistics, ConstTensor query_classes, ConstTensor candidate_classes,
                             double factor);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::class_contrast_forward) class_contrast_forward;
decltype(moe::class_contrast_backward) class_contrast_backward;
}  // namespace cuda

}  // namespace moe
